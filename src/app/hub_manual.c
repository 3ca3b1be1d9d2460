#include "app/hub_manual.h"

#include <stdio.h>
#include <string.h>

#include "app/command.h"
#include "app/hub_args.h"

#define PROGRAM    "tokenworks"
#define TEXT_BYTES 1024

/* ---- what the tables say ---- */

/* The options of a verb, with spaces between them. */
static void write_options(const struct tw_hub_verb *verb, struct tw_buf *out)
{
    char name[TW_HUB_OPTION_BYTES];
    tw_buf_append_text(out, "--help");
    const struct tw_option_group *where = tw_hub_args_where(verb);
    for (size_t i = 0; i < where->n_options; i++) {
        tw_buf_append_format(out, " --%s", where->options[i].name);
    }
    for (size_t i = 0; i < verb->n_fields; i++) {
        const struct tw_field *field = &verb->fields[i];
        if (field->is_word) {
            continue;
        }
        tw_hub_args_option_name(field, false, name);
        tw_buf_append_format(out, " --%s", name);
        if (tw_hub_args_has_opposite(verb, field)) {
            tw_hub_args_option_name(field, true, name);
            tw_buf_append_format(out, " --%s", name);
        }
    }
}

static void write_verbs(const char *group, struct tw_buf *out)
{
    const struct tw_hub_verb *verb;
    for (size_t i = 0, n = 0; (verb = tw_commands_verb(i)) != NULL; i++) {
        if (strcmp(verb->group, group) == 0) {
            tw_buf_append_format(out, "%s%s", n++ > 0 ? " " : "", verb->verb);
        }
    }
}

static void write_commands(struct tw_buf *out)
{
    for (const struct tw_command *command = tw_command_table; command->name != NULL; command++) {
        tw_buf_append_format(out, "%s%s", command == tw_command_table ? "" : " ", command->name);
    }
}

/* ---- bash, and zsh with its ways ---- */

/* After "GROUP VERB --option": what its value may be. */
static void write_choices(const struct tw_hub_verb *verb, struct tw_buf *out)
{
    char name[TW_HUB_OPTION_BYTES];
    for (size_t i = 0; i < verb->n_fields; i++) {
        const struct tw_field *field = &verb->fields[i];
        if (field->kind != TW_FIELD_CHOICE) {
            continue;
        }
        tw_hub_args_option_name(field, false, name);
        tw_buf_append_format(out, "        '%s %s --%s') words='", verb->group, verb->verb, name);
        for (size_t k = 0; field->choices[k] != NULL; k++) {
            tw_buf_append_format(out, "%s%s", k > 0 ? " " : "", field->choices[k]);
        }
        tw_buf_append_text(out, "' ;;\n");
    }
}

/* What is not in our tables is asked of the program's own help. */
static void write_bash(struct tw_buf *out)
{
    tw_buf_append_text(out, "# Completion of " PROGRAM " for bash. Put it where bash looks, or\n"
                            "# source it: source <(" PROGRAM " completion bash)\n"
                            "_" PROGRAM "()\n"
                            "{\n"
                            "    local word=${COMP_WORDS[COMP_CWORD]} words=\n"
                            "    local group=${COMP_WORDS[1]} verb=${COMP_WORDS[2]}\n"
                            "    local before=${COMP_WORDS[COMP_CWORD-1]}\n"
                            "    COMPREPLY=()\n"
                            "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
                            "        words='");
    write_commands(out);
    tw_buf_append_text(out, "'\n    elif [ \"$COMP_CWORD\" -eq 2 ]; then\n"
                            "        case $group in\n");
    const struct tw_hub_group *group;
    for (size_t i = 0; (group = tw_commands_group(i)) != NULL; i++) {
        tw_buf_append_format(out, "        %s) words='", group->name);
        write_verbs(group->name, out);
        tw_buf_append_text(out, "' ;;\n");
    }
    tw_buf_append_text(out, "        completion) words='bash zsh fish' ;;\n"
                            "        esac\n    fi\n    case \"$group $verb $before\" in\n");
    const struct tw_hub_verb *verb;
    for (size_t i = 0; (verb = tw_commands_verb(i)) != NULL; i++) {
        write_choices(verb, out);
    }
    tw_buf_append_text(out, "    esac\n    if [ -z \"$words\" ]; then\n"
                            "        case \"$group $verb\" in\n");
    for (size_t i = 0; (verb = tw_commands_verb(i)) != NULL; i++) {
        tw_buf_append_format(out, "        '%s %s') words='", verb->group, verb->verb);
        write_options(verb, out);
        tw_buf_append_text(out, "' ;;\n");
    }
    tw_buf_append_text(out, "        *) [[ $word == -* ]] && words=$(" PROGRAM " \"$group\" --help "
                            "2>/dev/null | grep -o -- '--[a-z][a-z-]*') ;;\n"
                            "        esac\n"
                            "    fi\n"
                            "    COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
                            "    return 0\n"
                            "}\n"
                            "complete -o default -F _" PROGRAM " " PROGRAM "\n");
}

/* zsh runs functions of bash. */
static void write_zsh(struct tw_buf *out)
{
    tw_buf_append_text(out, "#compdef " PROGRAM "\n"
                            "autoload -U +X bashcompinit && bashcompinit\n");
    write_bash(out);
}

/* ---- fish ---- */

static void append_quoted(struct tw_buf *out, const char *text)
{
    tw_buf_append(out, "'", 1);
    for (const char *at = text; *at != '\0'; at++) {
        tw_buf_append(out, *at == '\'' ? "\\'" : at, *at == '\'' ? 2 : 1);
    }
    tw_buf_append(out, "'", 1);
}

static void write_fish_field(const struct tw_hub_verb *verb, const struct tw_field *field,
                             struct tw_buf *out)
{
    char name[TW_HUB_OPTION_BYTES];
    tw_hub_args_option_name(field, false, name);
    tw_buf_append_format(out,
                         "complete -c " PROGRAM " -n '__fish_seen_subcommand_from %s; and "
                         "__fish_seen_subcommand_from %s' -l %s%s -d ",
                         verb->group, verb->verb, name, field->kind == TW_FIELD_FLAG ? "" : " -x");
    append_quoted(out, field->help);
    if (field->kind == TW_FIELD_CHOICE) {
        tw_buf_append_text(out, " -a '");
        for (size_t k = 0; field->choices[k] != NULL; k++) {
            tw_buf_append_format(out, "%s%s", k > 0 ? " " : "", field->choices[k]);
        }
        tw_buf_append(out, "'", 1);
    }
    tw_buf_append(out, "\n", 1);
}

static void write_fish_verb(const struct tw_hub_verb *verb, struct tw_buf *out)
{
    tw_buf_append_format(out,
                         "complete -c " PROGRAM " -f -n '__fish_seen_subcommand_from %s; and test "
                         "(count (commandline -opc)) -eq 2' -a %s -d ",
                         verb->group, verb->verb);
    append_quoted(out, verb->summary);
    tw_buf_append(out, "\n", 1);
    for (size_t i = 0; i < verb->n_fields; i++) {
        if (!verb->fields[i].is_word) {
            write_fish_field(verb, &verb->fields[i], out);
        }
    }
}

static void write_fish(struct tw_buf *out)
{
    tw_buf_append_text(out, "# Completion of " PROGRAM " for fish:\n# " PROGRAM
                            " completion fish > ~/.config/fish/completions/" PROGRAM ".fish\n");
    for (const struct tw_command *command = tw_command_table; command->name != NULL; command++) {
        tw_buf_append_format(out, "complete -c " PROGRAM " -f -n __fish_use_subcommand -a %s -d ",
                             command->name);
        append_quoted(out, command->summary);
        tw_buf_append(out, "\n", 1);
    }
    const struct tw_hub_verb *verb;
    for (size_t i = 0; (verb = tw_commands_verb(i)) != NULL; i++) {
        write_fish_verb(verb, out);
    }
}

bool tw_hub_manual_completion(const char *shell, struct tw_buf *out)
{
    if (strcmp(shell, "bash") == 0) {
        write_bash(out);
    } else if (strcmp(shell, "zsh") == 0) {
        write_zsh(out);
    } else if (strcmp(shell, "fish") == 0) {
        write_fish(out);
    } else {
        return false;
    }
    return true;
}

/* ---- roff ---- */

/* A point or an apostrophe at the beginning of a line is a command there, a backslash anywhere. */
static void append_roff(struct tw_buf *out, const char *text)
{
    if (text[0] == '.' || text[0] == '\'') {
        tw_buf_append_text(out, "\\&");
    }
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '\\' || *at == '-') {
            tw_buf_append(out, "\\", 1);
        }
        tw_buf_append(out, at, 1);
        if (*at == '\n' && (at[1] == '.' || at[1] == '\'')) {
            tw_buf_append_text(out, "\\&");
        }
    }
}

static void write_head(struct tw_buf *out, const char *page, const char *summary)
{
    char title[TW_HUB_OPTION_BYTES * 2];
    snprintf(title, sizeof title, "%s", page);
    for (char *at = title; *at != '\0'; at++) {
        *at = *at >= 'a' && *at <= 'z' ? (char)(*at - 'a' + 'A') : *at;
    }
    tw_buf_append_format(out, ".TH \"%s\" 1 \"\" \"" PROGRAM " " TW_VERSION "\" \"\"\n.SH NAME\n",
                         title);
    append_roff(out, page);
    tw_buf_append_text(out, " \\- ");
    append_roff(out, summary);
    tw_buf_append_text(out, "\n");
}

static void write_item(struct tw_buf *out, const char *term, const char *value, const char *help)
{
    tw_buf_append_text(out, ".TP\n\\fB");
    append_roff(out, term);
    tw_buf_append_text(out, "\\fR");
    if (value != NULL) {
        tw_buf_append_text(out, " \\fI");
        append_roff(out, value);
        tw_buf_append_text(out, "\\fR");
    }
    tw_buf_append_text(out, "\n");
    append_roff(out, help);
    tw_buf_append_text(out, "\n");
}

static void write_field_item(struct tw_buf *out, const struct tw_hub_verb *verb,
                             const struct tw_field *field)
{
    char name[TW_HUB_OPTION_BYTES], opposite[TW_HUB_OPTION_BYTES], term[2 * TEXT_BYTES / 8];
    tw_hub_args_option_name(field, false, name);
    tw_hub_args_option_name(field, true, opposite);
    if (field->is_word) {
        write_item(out, field->value, NULL, field->help);
        return;
    }
    snprintf(term, sizeof term, tw_hub_args_has_opposite(verb, field) ? "--%s, --%s" : "--%s", name,
             opposite);
    write_item(out, term, field->value, field->help);
}

/* "owner (not for the scope itself), finance" */
static void write_roles(struct tw_buf *out, const struct tw_hub_verb *verb)
{
    bool is_first = true;
    tw_buf_append_text(out, ".PP\nRoles: ");
    for (int role = 0; role < TW_ROLES; role++) {
        if (verb->reach[role] != TW_REACH_NONE) {
            tw_buf_append_format(out, "%s%s%s", is_first ? "" : ", ",
                                 tw_role_name((enum tw_role)role),
                                 verb->reach[role] == TW_REACH_ABOVE ? " (of what is above)" : "");
            is_first = false;
        }
    }
    tw_buf_append_text(out, ".\n");
}

static void write_verb(struct tw_buf *out, const struct tw_hub_verb *verb)
{
    tw_buf_append_format(out, ".SS " PROGRAM " %s %s ", verb->group, verb->verb);
    struct tw_buf synopsis;
    tw_buf_init(&synopsis, TEXT_BYTES);
    tw_hub_args_write_synopsis(verb, &synopsis);
    tw_buf_append(&synopsis, "", 1);
    append_roff(out, synopsis.data != NULL ? synopsis.data : "");
    tw_buf_free(&synopsis);
    tw_buf_append_text(out, "\n");
    append_roff(out, verb->about);
    tw_buf_append_text(out, "\n");
    for (size_t i = 0; i < verb->n_fields; i++) {
        write_field_item(out, verb, &verb->fields[i]);
    }
    write_roles(out, verb);
}

static void write_common(struct tw_buf *out)
{
    char term[TW_HUB_OPTION_BYTES];
    tw_buf_append_text(out, ".SH OPTIONS OF ALL\n");
    for (size_t i = 0; i < tw_hub_where_options.n_options; i++) {
        const struct tw_option *option = &tw_hub_where_options.options[i];
        snprintf(term, sizeof term, "--%s", option->name);
        write_item(out, term, option->value_name, option->help);
    }
    tw_buf_append_text(out, ".SH ENVIRONMENT\n");
    write_item(out, "TOKENWORKS_BOOKS", NULL, "Where the books are, as --books.");
    write_item(out, "TOKENWORKS_SECRET", NULL,
               "A user's secret: the command is given with the roles of that user.");
    write_item(out, "TOKENWORKS_BOOKS_KEYS", NULL,
               "The folder of what the books are sealed with, and of the server's socket, where it "
               "is not that of their file.");
}

static void write_group_page(struct tw_buf *out, const char *page, const struct tw_hub_group *group)
{
    write_head(out, page, group->summary);
    tw_buf_append_format(out, ".SH SYNOPSIS\n.B " PROGRAM " %s\n.I VERB\n\\&...\n.SH DESCRIPTION\n",
                         group->name);
    append_roff(out, group->about);
    tw_buf_append_text(out, "\n.SH VERBS\n");
    const struct tw_hub_verb *verb;
    for (size_t i = 0; (verb = tw_commands_verb(i)) != NULL; i++) {
        if (strcmp(verb->group, group->name) == 0) {
            write_verb(out, verb);
        }
    }
    write_common(out);
}

/* ---- commands that have options alone ---- */

static const char *const with_options[] = {"run",        "chat", "serve", "tokenize",
                                           "perplexity", "eval", "train"};

static const struct tw_command *command_of(const char *name)
{
    for (size_t i = 0; i < sizeof with_options / sizeof *with_options; i++) {
        if (strcmp(name, with_options[i]) == 0) {
            const struct tw_command *command = tw_command_table;
            while (strcmp(command->name, name) != 0) {
                command++;
            }
            return command;
        }
    }
    return NULL;
}

static void write_options_page(const struct tw_command_spec *spec, void *context)
{
    char term[TW_HUB_OPTION_BYTES];
    struct tw_buf *out = context;
    tw_buf_append_format(out, ".SH SYNOPSIS\n.B " PROGRAM " %s\n", spec->name);
    append_roff(out, spec->synopsis);
    tw_buf_append_text(out, "\n.SH DESCRIPTION\n");
    append_roff(out, spec->about);
    tw_buf_append_text(out, "\n.SH OPTIONS\n");
    for (size_t i = 0; i < TW_OPTION_USES && spec->uses[i].group != NULL; i++) {
        const struct tw_option_group *group = spec->uses[i].group;
        tw_buf_append_format(out, ".SS %s\n", group->title);
        for (size_t k = 0; k < group->n_options; k++) {
            snprintf(term, sizeof term, "--%s", group->options[k].name);
            write_item(out, term, group->options[k].value_name, group->options[k].help);
        }
    }
}

static void write_command_page(struct tw_buf *out, const char *page,
                               const struct tw_command *command)
{
    char name[TW_HUB_OPTION_BYTES], help[] = "--help";
    char *words[] = {name, help, NULL};
    snprintf(name, sizeof name, "%s", command->name);
    write_head(out, page, command->summary);
    tw_command_send_help(write_options_page, out);
    command->run(2, words);
    tw_command_send_help(NULL, NULL);
}

static void write_program_page(struct tw_buf *out)
{
    const struct tw_hub_group *group;
    write_head(out, PROGRAM, "runs open-weight language models, and keeps the books of their use");
    tw_buf_append_text(out, ".SH SYNOPSIS\n.B " PROGRAM "\n.I COMMAND\n\\&...\n.SH COMMANDS\n");
    for (const struct tw_command *command = tw_command_table; command->name != NULL; command++) {
        write_item(out, command->name, NULL, command->summary);
    }
    tw_buf_append_text(out, ".PP\nEach explains itself with \\-\\-help.\n.SH SEE ALSO\n");
    for (size_t i = 0; i < sizeof with_options / sizeof *with_options; i++) {
        tw_buf_append_format(out, ".BR " PROGRAM "\\-%s (1),\n", with_options[i]);
    }
    for (size_t i = 0; (group = tw_commands_group(i)) != NULL; i++) {
        tw_buf_append_format(out, "%s.BR " PROGRAM "\\-%s (1)", i > 0 ? ",\n" : "", group->name);
    }
    tw_buf_append_text(out, "\n");
}

bool tw_hub_manual_page(const char *page, struct tw_buf *out)
{
    static const char prefix[] = PROGRAM "-";
    if (strcmp(page, PROGRAM) == 0) {
        write_program_page(out);
        return true;
    }
    if (strncmp(page, prefix, sizeof prefix - 1) != 0) {
        return false;
    }
    const struct tw_command *command = command_of(page + sizeof prefix - 1);
    const struct tw_hub_group *group = tw_commands_find_group(page + sizeof prefix - 1);
    if (command != NULL) {
        write_command_page(out, page, command);
    } else if (group != NULL) {
        write_group_page(out, page, group);
    }
    return command != NULL || group != NULL;
}
