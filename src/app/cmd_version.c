#include <stdio.h>

#include "app/command.h"
#include "base/cpu.h"

int tw_cmd_version(int argc, char **argv)
{
    const struct tw_command_spec spec = {
        .name = "version",
        .synopsis = "",
        .about = "Prints the version, the processor, and the instruction set that will be used\n"
                 "(the environment variable TW_CPU=ref|avx2|avx512 lowers it).",
    };
    struct tw_words words;
    int exit_code;
    if (!tw_command_parse(&spec, argc, argv, &words, &exit_code)) {
        return exit_code;
    }
    struct tw_error error;
    enum tw_cpu_level level;
    if (tw_cpu_choose(&level, &error) != TW_OK) {
        return tw_command_fail(&error);
    }
    char brand[64];
    tw_cpu_brand(brand);
    printf("tokenworks %s\n", TW_VERSION);
    printf("processor  %s, %d cores for this process\n", brand, tw_cpu_count());
    printf("uses       %s (the machine can run %s)\n", tw_cpu_level_name(level),
           tw_cpu_level_name(tw_cpu_detect()));
    return 0;
}
