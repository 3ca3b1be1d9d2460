/* limits.h: every bound of the program in one place.
 *
 * A bound exists so that no input, however hostile, makes the program allocate, loop or recurse
 * without end. An error that reports a bound says which one was reached.
 */
#ifndef TW_BASE_LIMITS_H
#define TW_BASE_LIMITS_H

/* Messages */
#define TW_LIMIT_ERROR_TEXT_BYTES 320

/* Time zones */
#define TW_LIMIT_ZONE_NAME_BYTES   64
#define TW_LIMIT_ZONE_FILE_BYTES   (256u << 10) /* the largest in use have 4 KB */
#define TW_LIMIT_ZONE_TRANSITIONS  4096         /* the most in use are 236 */
#define TW_LIMIT_ZONE_FOOTER_BYTES 256          /* the rule behind the last of them */

/* Model files */
#define TW_LIMIT_MODEL_SHARDS          512          /* files a split model may have */
#define TW_LIMIT_MODEL_TENSORS         65536        /* tensors in one model */
#define TW_LIMIT_MODEL_METADATA_KEYS   65536        /* GGUF key-value pairs in one file */
#define TW_LIMIT_MODEL_NAME_BYTES      256          /* a tensor's name; ggml itself stops at 64 */
#define TW_LIMIT_MODEL_KEY_BYTES       4096         /* a metadata key */
#define TW_LIMIT_MODEL_STRING_BYTES    (16u << 20)  /* one metadata string, templates too */
#define TW_LIMIT_MODEL_ARRAY_ITEMS     (1u << 24)   /* one metadata array, vocabularies included */
#define TW_LIMIT_MODEL_JSON_BYTES      (256u << 20) /* tokenizer.json */
#define TW_LIMIT_MODEL_CONFIG_BYTES    (32u << 20)  /* config.json, a safetensors header */
#define TW_LIMIT_MODEL_DIRECTORY_BYTES (64u << 20)  /* kept of one file's keys and tensors */
#define TW_LIMIT_MODEL_HEAD_BYTES                                                                  \
    ((size_t)256 << 20) /* a GGUF file before its weights, read or written */
#define TW_LIMIT_MODEL_LAYERS         1024
#define TW_LIMIT_MODEL_HEADS          1024
#define TW_LIMIT_MODEL_HEAD_DIM       512
#define TW_LIMIT_MODEL_EMBED          (1u << 18)
#define TW_LIMIT_MODEL_FFN            (1u << 20)
#define TW_LIMIT_MODEL_EXPERTS        1024
#define TW_LIMIT_MODEL_EXPERTS_USED   64 /* of a token, in one layer */
#define TW_LIMIT_MODEL_CONTEXT_TOKENS (1u << 24)

/* Files of packed weights */
#define TW_LIMIT_PACK_MATRICES        (1u << 20)
#define TW_LIMIT_PACK_KEY_BYTES       1024                 /* what names a matrix there */
#define TW_LIMIT_PACK_DIRECTORY_BYTES ((size_t)128 << 20)  /* that is kept of one */
#define TW_LIMIT_PACK_UNSYNCED_BYTES  ((uint64_t)64 << 20) /* written before waiting for the disk */

/* Work space and 4096 positions of KV cache, beside weights of so many bytes */
#define TW_LIMIT_WORK_BYTES      ((uint64_t)256 << 20) /* whatever the weights have */
#define TW_LIMIT_WORK_PER_WEIGHT 16                    /* bytes more for each of theirs */

/* Text */
#define TW_LIMIT_VOCAB_TOKENS           (1u << 22) /* tokens in a vocabulary */
#define TW_LIMIT_TOKEN_BYTES            65536      /* bytes of one vocabulary entry */
#define TW_LIMIT_BPE_MERGES             (1u << 23)
#define TW_LIMIT_TEXT_BYTES             (1u << 30) /* one text given to the tokenizer */
#define TW_LIMIT_PATTERN_BYTES          65536      /* a pre-tokenizer's regular expression */
#define TW_LIMIT_PATTERN_STEPS          10000000   /* PCRE2 match limit for hostile patterns */
#define TW_LIMIT_PATTERN_EASY_STEPS     2000 /* what nearly every attempt to match takes at most */
#define TW_LIMIT_PATTERN_STEPS_PER_BYTE 64   /* of the text, for all attempts that need more */
#define TW_LIMIT_NORMALISED_BYTES       ((size_t)3 << 30) /* a text after normalisation */
#define TW_LIMIT_NORMALISED_GROWTH      16  /* bytes made of one; form C makes at most 3 */
#define TW_LIMIT_NORMALISED_EXTRA_BYTES 256 /* whatever the text has: what is put before it */
#define TW_LIMIT_TOKENIZER_SPEC_BYTES   ((size_t)1 << 30) /* a tokenizer.json once it is read */
#define TW_LIMIT_TOKENIZER_STEPS        16   /* normaliser or pre-tokenizer steps of a tokenizer */
#define TW_LIMIT_ADDED_TOKEN_BYTES      1024 /* a token that is looked for in raw text */
#define TW_LIMIT_SPM_PIECE_BYTES        1024 /* a SentencePiece vocabulary entry */
#define TW_LIMIT_SPM_PAIRS_PER_PIECE    16 /* ways to cut; vocabularies in use have 3 on average */
#define TW_LIMIT_SPM_CUT_BYTES          ((uint64_t)1 << 30) /* length x cuts, summed */
#define TW_LIMIT_END_TOKENS             32                  /* tokens that end an answer */
#define TW_LIMIT_HASH_PROBES            4096 /* a vocabulary made to collide stops here */

/* Chat templates (Jinja) */
#define TW_LIMIT_JINJA_SOURCE_BYTES (1u << 20) /* the longest in use have 30 KB */
#define TW_LIMIT_JINJA_NODES        (1u << 17) /* of the syntax tree */
#define TW_LIMIT_JINJA_NAMES        4096       /* different ones in a template */
#define TW_LIMIT_JINJA_NESTING      100        /* expressions or statements in one another */
#define TW_LIMIT_JINJA_DEPTH        800        /* nodes and values in one another, at work */
#define TW_LIMIT_JINJA_CALLS        64         /* macros that call macros */
#define TW_LIMIT_JINJA_STEPS        50000000   /* of one rendering: about a second */
#define TW_LIMIT_JINJA_RANGE        100000     /* numbers of range() */
#define TW_LIMIT_JINJA_STRING_BYTES (64u << 20)
#define TW_LIMIT_JINJA_OUTPUT_BYTES (64u << 20)
#define TW_LIMIT_JINJA_MEMORY_BYTES ((size_t)256 << 20) /* of one rendering */

/* Calls of tools */
#define TW_LIMIT_TOOL_CALL_BYTES ((size_t)1 << 20) /* of an answer, until it is clear what it is */
#define TW_LIMIT_TOOL_NAME_BYTES 256               /* of a function or a parameter between tags */

/* Structured output */
#define TW_LIMIT_GRAMMAR_STEPS    4000000            /* of compiling; some ten nanoseconds each */
#define TW_LIMIT_GRAMMAR_BYTES    ((size_t)12 << 20) /* what compiling holds; 16 MB resident */
#define TW_LIMIT_GRAMMAR_DEPTH    128                /* arrays, objects, strings in one another */
#define TW_LIMIT_SCHEMA_BYTES     ((size_t)4 << 20)  /* a schema's file */
#define TW_LIMIT_SCHEMA_REPEAT    100000             /* minItems, maxLength and their like */
#define TW_LIMIT_MASK_CACHE_BYTES ((size_t)32 << 20) /* masks kept for one grammar */
#define TW_LIMIT_REGEX_DEPTH      200                /* groups in one another */
#define TW_LIMIT_REGEX_REPEAT     100000             /* n and m of x{n,m} */

/* Tables */
#define TW_LIMIT_CSV_FIELDS     64   /* in a row */
#define TW_LIMIT_CSV_LINE_BYTES 8192 /* of a row */

/* JSON */
#define TW_LIMIT_JSON_DEPTH      512
#define TW_LIMIT_JSON_TREE_BYTES ((size_t)1 << 30) /* estimate: the largest in use take 300 MB */

/* Plans */
#define TW_LIMIT_PLAN_FACTS          65536
#define TW_LIMIT_PLAN_TABLE_BYTES    ((size_t)64 << 20)
#define TW_LIMIT_PLAN_TRACE_BYTES    ((size_t)1 << 30)
#define TW_LIMIT_PLAN_REQUESTS       (1u << 24) /* of a workload */
#define TW_LIMIT_PLAN_BLOCKS         (1u << 28) /* of beginnings, of a workload */
#define TW_LIMIT_PLAN_CONTEXT_TOKENS (1u << 24)
#define TW_LIMIT_PLAN_USE_CASES      256
#define TW_LIMIT_PLAN_LEAST_RATE     1e-5  /* requests a second of a use case at its peak */
#define TW_LIMIT_PLAN_DEVICES        65536 /* of one plant */

/* Money of plans */
#define TW_LIMIT_PLAN_MONTHS          120    /* of a horizon */
#define TW_LIMIT_PLAN_LOAD_CLASSES    48     /* hours of a working day and of a free one */
#define TW_LIMIT_PLAN_CAPACITY_POINTS 16     /* numbers of replicas that are simulated */
#define TW_LIMIT_PLAN_SIZED_REPLICAS  16     /* simulated together */
#define TW_LIMIT_PLAN_MODELS          8      /* of a scenario */
#define TW_LIMIT_PLAN_WAYS            1024   /* to serve one of its models each */
#define TW_LIMIT_PLAN_OPTIONS         256    /* that a plan compares */
#define TW_LIMIT_PLAN_DRAWS           100000 /* of a Monte Carlo */
#define TW_LIMIT_PLAN_PLACES          16
#define TW_LIMIT_PLAN_CLASSES         16
#define TW_LIMIT_PLAN_NAMES           32   /* in one list of a scenario */
#define TW_LIMIT_PLAN_NAME_BYTES      96   /* of a model, a device, a place */
#define TW_LIMIT_PLAN_PATH_BYTES      4096 /* of a file that a scenario names */
#define TW_LIMIT_PLAN_SCENARIO_BYTES  ((size_t)1 << 20)

/* Counters of energy, and what was read of them */
#define TW_LIMIT_METERS           64                  /* of one machine */
#define TW_LIMIT_METER_NAME_BYTES 96                  /* of one */
#define TW_LIMIT_METER_BOOT_BYTES 64                  /* what tells one start from the next */
#define TW_LIMIT_METER_FILE_BYTES ((size_t)256 << 20) /* a year of a machine with four counters */
#define TW_LIMIT_METER_FILES      256                 /* machines that are compared */
#define TW_LIMIT_METER_WATTS      1000                /* that no processor draws for minutes */
#define TW_LIMIT_METER_EVERY_S    86400               /* between two readings */

/* Computation */
#define TW_LIMIT_THREADS             256
#define TW_LIMIT_BATCH_TOKENS        8192 /* tokens in one forward pass */
#define TW_LIMIT_BATCH_SEQUENCES     1024
#define TW_LIMIT_KV_PAGES            (1u << 24) /* of one cache; 64 positions each */
#define TW_LIMIT_TENANTS             131072
#define TW_LIMIT_PROJECTS            65536 /* the tenants behind them are these' batches */
#define TW_LIMIT_TENANT_WEIGHT       1000
#define TW_LIMIT_WAITING             65536 /* requests in a scheduler's queue */
#define TW_LIMIT_WAITING_SPARE_SHARE 4 /* one part in so many of a queue is never one tenant's */
#define TW_LIMIT_IDLE_STEP_PART      4 /* prompts of IDLE ones get one part in so many of a step */
/* Tokens that may be guessed behind a text, those of a step with all texts that decode, and how far
 * back a text is searched for what it may go on with. */
#define TW_LIMIT_SAMPLERS            8 /* threads that sample at once, each with its room */
#define TW_LIMIT_DRAFT_TOKENS        15
#define TW_LIMIT_DECODED_TOKENS      16
#define TW_LIMIT_DRAFT_SEARCH_TOKENS 32768
/* Segments of attention (512 positions of up to 8 heads) of one operation whose results wait to be
 * merged, 16 KiB each. Beyond, only heads and rows are spread over threads, not segments. */
#define TW_LIMIT_ATTENTION_SEGMENTS  512

/* Sampling */
#define TW_LIMIT_STOP_STRINGS      16
#define TW_LIMIT_STOP_STRING_BYTES 1024
#define TW_LIMIT_TOP_LOGPROBS      128
#define TW_LIMIT_LOGIT_BIASES      4096
#define TW_LIMIT_GENERATED_BYTES   (1u << 30) /* text of one answer that nobody has taken yet */

/* Training data */
#define TW_LIMIT_CORPUS_WORDS            (1u << 24)   /* distinct words of a corpus */
#define TW_LIMIT_CORPUS_WORD_BYTES       (128u << 20) /* those words put together */
#define TW_LIMIT_CORPUS_PIECE_BYTES      (1u << 20)   /* plain text is read in such pieces */
#define TW_LIMIT_TRAINED_PAIRS           (1u << 26) /* different pairs met by tokenizer training */
#define TW_LIMIT_TRAINED_TOKEN_BYTES     256        /* of one token that merging makes */
#define TW_LIMIT_TRAINED_TOKENIZER_BYTES ((size_t)1 << 30) /* tokens and merges of one */
#define TW_LIMIT_DATA_LINE_BYTES         (64u << 20)       /* a line of a JSONL file */
#define TW_LIMIT_DATA_MESSAGES           4096              /* in one conversation */
#define TW_LIMIT_DATASET_TOKENS          (1u << 30)        /* of all documents together */
#define TW_LIMIT_DATASET_DOCUMENTS       (1u << 26)
#define TW_LIMIT_PACKING_EPOCHS          (1u << 20) /* how often the documents are gone through */

/* Training runs */
#define TW_LIMIT_CONF_BYTES           (1u << 18) /* a configuration file */
#define TW_LIMIT_CONF_DEPTH           16         /* lists and mappings in one another */
#define TW_LIMIT_CONF_STRING_BYTES    4096       /* one text in it */
#define TW_LIMIT_TRAIN_FILES          256        /* data files of one kind */
#define TW_LIMIT_TRAIN_WIDTH          16384      /* embedding, feed-forward */
#define TW_LIMIT_TRAIN_CONTEXT_TOKENS 32768
#define TW_LIMIT_TRAIN_STEPS          10000000
#define TW_LIMIT_TRAIN_ROWS           4096 /* rows of a context in one step */
#define TW_LIMIT_TRAIN_PASS_TOKENS    4096 /* of rows that go through a forward pass together */
#define TW_LIMIT_PLOT_BYTES           (4u << 20) /* a picture of its losses */
#define TW_LIMIT_RECORD_BYTES         (1u << 20) /* a checkpoint's recipe, and its list of files */

/* HTTP */
#define TW_LIMIT_HTTP_CONNECTIONS       2300 /* at once, where nothing else is asked for */
#define TW_LIMIT_HTTP_SPARE_CONNECTIONS 64   /* beyond the configured ones, to be told so */
#define TW_LIMIT_HTTP_LOOP_MS           1000 /* that a thread waits where it need not for ever */
#define TW_LIMIT_HTTP_HEAD_BYTES        32768
#define TW_LIMIT_HTTP_HEAD_SECONDS      10 /* from the connection's or head's beginning */
#define TW_LIMIT_HTTP_LENGTH_DIGITS     15 /* of a Content-Length */
#define TW_LIMIT_HTTP_ID_BYTES          64 /* of an X-Request-Id that is kept */
#define TW_LIMIT_HTTP_BODY_BYTES        ((size_t)16 << 20)
#define TW_LIMIT_HTTP_BODY_SECONDS      60
#define TW_LIMIT_HTTP_ALL_BODIES_BYTES  ((size_t)256 << 20) /* of all requests together */
#define TW_LIMIT_HTTP_IDLE_SECONDS      120                 /* between two requests */
#define TW_LIMIT_HTTP_ANSWER_SECONDS    300 /* until a finished answer has been read */
#define TW_LIMIT_HTTP_STREAM_BYTES      ((size_t)4 << 20) /* that a stream's client has not taken */
#define TW_LIMIT_HTTP_STALL_SECONDS     30                /* in which such a client takes nothing */
#define TW_LIMIT_HTTP_UNSENT_BYTES      65536 /* that the system takes before it sends them */
#define TW_LIMIT_TLS_CHAIN              16    /* certificates in one file */

/* Servers that requests are relayed to */
#define TW_LIMIT_API_SMALL_BYTES      65536 /* of an answer that is no answer of a model */
#define TW_LIMIT_API_ERROR_BYTES      4096  /* of an error, written out */
#define TW_LIMIT_API_METRICS_BYTES    ((size_t)1 << 20) /* of all metrics, as text */
#define TW_LIMIT_API_GUESSES_S        60      /* in which wrong keys of one address are counted */
#define TW_LIMIT_API_UNKNOWN_BYTES    256     /* of names of parameters in a header */
#define TW_LIMIT_API_REDACTED_TEXTS   1024    /* of a stream: of each choice its texts and calls */
#define TW_LIMIT_REMOTE_WAITING       1000000 /* requests that a server may say wait there */
#define TW_LIMIT_REMOTES              64      /* other servers that a server asks */
#define TW_LIMIT_REMOTE_CALLS         4096    /* of one client at once */
#define TW_LIMIT_REMOTE_SPARE         256     /* handles of libcurl that wait for their next call */
#define TW_LIMIT_REMOTE_URL_BYTES     1024    /* of a server, and of an endpoint behind it */
#define TW_LIMIT_REMOTE_HEAD_BYTES    65536   /* of an answer: all its header lines */
#define TW_LIMIT_REMOTE_VALUE_BYTES   256     /* of a header line whose value is kept */
#define TW_LIMIT_REMOTE_KEY_BYTES     4096    /* of a key in its file */
#define TW_LIMIT_REMOTE_CA_BYTES      ((size_t)4 << 20) /* of a file of certificates */
#define TW_LIMIT_REMOTE_RETRY_S       3600 /* the longest wait that a server may ask for */
#define TW_LIMIT_REMOTE_SWEEP_MS      50   /* from one look at deadlines to the next */
#define TW_LIMIT_REMOTE_EVENT_BYTES   ((size_t)4 << 20)  /* of a stream; a whole call is in one */
#define TW_LIMIT_REMOTE_ANSWER_BYTES  ((size_t)64 << 20) /* of an answer that is no stream */
#define TW_LIMIT_REMOTE_REASON_BYTES  256                /* of what a server says is wrong */
#define TW_LIMIT_REMOTE_REFUSAL_BYTES 65536              /* of a refusal's body that is read */
#define TW_LIMIT_REMOTE_WEIGHT        1000000            /* of one beside others */
#define TW_LIMIT_REMOTE_EVENTS        256                /* of sockets, taken at once */
#define TW_LIMIT_REMOTE_CONNECT_MS    5000   /* these five unless somebody says otherwise */
#define TW_LIMIT_REMOTE_ANSWER_MS     120000 /* until the first byte of an answer */
#define TW_LIMIT_REMOTE_IDLE_MS       60000  /* from one byte of it to the next */
#define TW_LIMIT_REMOTE_WHOLE_MS      1800000
#define TW_LIMIT_REMOTE_POLL_MS       1000   /* from one look at one's health to the next */
#define TW_LIMIT_REMOTE_TAIL_MS       1000   /* of a connection behind an answer's last event */
#define TW_LIMIT_REMOTE_FIRST_BYTE_MS 600000 /* until one answers: a whole answer is all of it */
#define TW_LIMIT_REMOTE_LOOK_MS       5000   /* that a look at one's health takes */
#define TW_LIMIT_REMOTE_NO_METRICS_MS 60000  /* until metrics are asked for that were not there */
/* Reserved for a part of a prompt that is no text, such as an image behind an address: its bytes do
 * not say how many tokens it is. As many as the largest image has of Qwen2-VL and its kin, which
 * take the most for one. */
#define TW_LIMIT_REMOTE_PART_TOKENS   16384
#define TW_LIMIT_RELAY_PAUSE_BYTES    (TW_LIMIT_HTTP_STREAM_BYTES / 4) /* not taken by a client */
#define TW_LIMIT_RELAY_LOOK_NS        20000000 /* from one look at those who leave to the next */
#define TW_LIMIT_DNS_NAME_BYTES       1025     /* of a name in an answer, as text (NS_MAXDNAME) */
#define TW_LIMIT_DNS_TTL_LEAST_S      1        /* a name is not asked for more often */
#define TW_LIMIT_DNS_TRY_S            2        /* for a nameserver's answer */
#define TW_LIMIT_DNS_TRIES            2        /* of each nameserver */
#define TW_LIMIT_DNS_WHOLE_S          15 /* then none of a lookup's names is asked for any more */
#define TW_LIMIT_DNS_RETRY_NS         INT64_C(5000000000) /* until a name is asked for again */
#define TW_LIMIT_DNS_TTL_MOST_S       300 /* nor less often, whatever its records say */
#define TW_LIMIT_METRICS_LINE_BYTES   4096
#define TW_LIMIT_METRICS_BYTES        ((size_t)16 << 20) /* of one look at a server's metrics */

/* Routes */
#define TW_LIMIT_ROUTE_BACKENDS    256 /* places that requests can run at */
#define TW_LIMIT_ROUTE_ZONES       64
#define TW_LIMIT_ROUTE_MODELS      64 /* of one backend */
#define TW_LIMIT_ROUTE_FALLBACKS   8
#define TW_LIMIT_ROUTE_RULES       256  /* models that have others to fall back on; preferences */
#define TW_LIMIT_SERVE_WORDS       64   /* of a list of names in a configuration */
#define TW_LIMIT_ROUTE_TOKEN_BYTES 256  /* no token of any model stands for more */
#define TW_LIMIT_ROUTE_BLOCKS      4096 /* of one prompt that are looked for */
#define TW_LIMIT_ROUTE_INDEX       (1u << 22) /* blocks that are remembered of one backend */
#define TW_LIMIT_ROUTE_BLOCK_BYTES 256        /* of a relayed prompt: some sixty tokens, a page */
#define TW_LIMIT_ROUTE_TABLE_BYTES ((size_t)64 << 20) /* of the names in a table */
#define TW_LIMIT_BREAKER_OUTCOMES  32                 /* that a breaker looks back at */
#define TW_LIMIT_BREAKER_DOUBLINGS 6                  /* of the time that it stays open */

/* API */
#define TW_LIMIT_API_CHOICES         128 /* answers of one request: prompts times n */
#define TW_LIMIT_API_TOP_LOGPROBS    20  /* alternatives shown of a token */
#define TW_LIMIT_API_PROMPT_CONTEXTS 4   /* a prompt of more contexts is not counted to its end */
#define TW_LIMIT_API_TOOLS_BYTES     (1u << 20)  /* of a request, as JSON */
#define TW_LIMIT_API_LOGPROBS        (4u << 20)  /* numbers of a whole answer */
#define TW_LIMIT_API_ECHOED_LOGPROBS (64u << 10) /* in the first piece of a stream */
#define TW_LIMIT_API_TASKS           4096        /* requests that wait to be prepared */
#define TW_LIMIT_API_TOOLS           128         /* of a request */
#define TW_LIMIT_API_KEYS            4096        /* rows of a key file */
#define TW_LIMIT_API_FAILURES        20          /* wrong keys from one address in a minute */
#define TW_LIMIT_SERVED_MODELS       64          /* of one server */
#define TW_LIMIT_SERVED_NAME_BYTES   256         /* what clients call one */
#define TW_LIMIT_SERVED_ALIASES      64          /* other names of one */
#define TW_LIMIT_SERVE_OPTIONS       48 /* that are keys of a configuration file; conf.h: 64 */
#define TW_LIMIT_LOADING_TURN_NS     ((int64_t)2000000) /* that a load keeps the turn at least */
/* How long one model may be asked without a break while another waits for its room. Long enough to
 * be worth the loading, short enough for somebody who waits. */
#define TW_LIMIT_PATIENCE_NS         ((int64_t)2000000000)

/* Accounting */
#define TW_LIMIT_HUB_PATH            32    /* budgets or limits that one request stands under */
#define TW_LIMIT_HUB_CARRY           1     /* limits that a budget carries into its next window */
#define TW_LIMIT_HUB_PRICES          16384 /* versions of prices */
#define TW_LIMIT_HUB_ITEMS           (1u << 20) /* holders, persons, secrets, budgets: each */
#define TW_LIMIT_HUB_DIRECTORY_BYTES ((size_t)1 << 30) /* of all that is remembered of them */
#define TW_LIMIT_HUB_CHANGES         10000 /* of the directory, that are read one by one */
#define TW_LIMIT_HUB_BEGINNINGS      3     /* of such a one, where others had the books */
#define TW_LIMIT_HUB_GROUP           1024  /* operations in one transaction */
/* Of a prompt, or of all answers of a request, as a server may count them: more is no count, and
 * would leave the books no room for anybody else. */
#define TW_LIMIT_HUB_USED_TOKENS     (UINT64_C(1) << 28)
#define TW_LIMIT_HUB_AHEAD_TOKENS    32 /* of the durable watermark before what was sent */
#define TW_LIMIT_HUB_LEASE_NS        INT64_C(20000000000) /* of silence, and a hub is dead */
#define TW_LIMIT_HUB_BEAT_NS         INT64_C(4000000000)  /* it says that it is alive as often */
#define TW_LIMIT_HUB_POLL_MS         500  /* it asks what others changed, unless told */
#define TW_LIMIT_HUB_CLIENT_ID_BYTES 128  /* by which a client knows a request */
#define TW_LIMIT_HUB_FILE_BYTES      4096 /* the path of a file beside the store */
#define TW_LIMIT_HUB_SHOWN_BYTES     140  /* a holder's path in a message */
#define TW_LIMIT_HUB_PROPOSAL_NS     (INT64_C(604800) * 1000000000) /* a week, to be approved in */
#define TW_LIMIT_HUB_RATE            100000000 /* requests or tokens a minute, requests at once */

/* Content of requests */
#define TW_LIMIT_CONTENT_BYTES    ((size_t)4 << 20) /* of one that is stored: asked and answered */
#define TW_LIMIT_CONTENT_PIECE    64 /* rows that one group of writes empties, at most */
#define TW_LIMIT_CONTENT_PROJECTS 16 /* whose old content one group looks for */
#define TW_LIMIT_CONTENT_TEND_NS                                                                   \
    INT64_C(60000000000)                    /* from one look for old content to the next */
#define TW_LIMIT_CONTENT_EXPORT_ROWS  20000 /* records that one page of an export looks at */
#define TW_LIMIT_CONTENT_EXPORT_BYTES ((size_t)16 << 20) /* of such a page */
#define TW_LIMIT_SUBJECT_BYTES        256   /* by which a request says whom it is about */
#define TW_LIMIT_SUBJECT_NEW_KEYS     10000 /* of one project's users, made in a day */
#define TW_LIMIT_SUBJECT_KEYS         4096  /* remembered while nobody uses them */

/* Files of requests and batches of them */
#define TW_LIMIT_BATCH_LINES          50000                 /* of one file */
#define TW_LIMIT_BATCH_LINE_BYTES     ((size_t)4 << 20)     /* of one of them */
#define TW_LIMIT_BATCH_RESULT_BYTES   ((size_t)8 << 20)     /* of one line's answer */
#define TW_LIMIT_BATCH_PROJECT_BYTES  (INT64_C(4) << 30)    /* of all files of one project */
#define TW_LIMIT_BATCH_PROJECT_FILES  1000                  /* of one project */
#define TW_LIMIT_BATCH_OPEN           100                   /* batches of one, not yet ended */
#define TW_LIMIT_BATCH_FILE_SECONDS   (INT64_C(30) * 86400) /* that a file is kept, at most */
#define TW_LIMIT_BATCH_WINDOW_SECONDS INT64_C(86400)        /* in which a batch is done */
#define TW_LIMIT_BATCH_METADATA       16                    /* pairs of one batch */
#define TW_LIMIT_BATCH_METADATA_NAME  64                    /* bytes of a name of those */
#define TW_LIMIT_BATCH_METADATA_TEXT  512                   /* bytes of what stands under it */
#define TW_LIMIT_BATCH_METADATA_BYTES 16384                 /* of them as JSON */
#define TW_LIMIT_BATCH_FAULTS         20                    /* that are told of one file */
#define TW_LIMIT_BATCH_FAULTS_BYTES   16384                 /* of them as JSON */
#define TW_LIMIT_BATCH_CUSTOM_BYTES   256                   /* of a custom_id */
#define TW_LIMIT_BATCH_PIECE_LINES    64                    /* written or read in one go */
#define TW_LIMIT_BATCH_PIECE_BYTES    ((size_t)1 << 20)     /* the same */
#define TW_LIMIT_BATCH_RUNNING        16                    /* batches of one hub at once */
#define TW_LIMIT_BATCH_AT_ONCE        64                    /* lines of all of them together */
#define TW_LIMIT_BATCH_RETRY_MS       60000                 /* the longest wait before a retry */
#define TW_LIMIT_BATCH_CALLS          1024                  /* about files and batches, waiting */
#define TW_LIMIT_BATCH_DOWNLOADS      64                    /* of files at once */
#define TW_LIMIT_BATCH_LIST           100                   /* rows of one list */
#define TW_LIMIT_BATCH_LIST_BYTES     ((size_t)16 << 20)    /* of it as JSON */
#define TW_LIMIT_BATCH_LEAST_SECONDS  INT64_C(3600)         /* that a client may have a file kept */
#define TW_LIMIT_BATCH_UPLOAD_NS      INT64_C(3600000000000) /* behind which one was cut off */
#define TW_LIMIT_MULTIPART_PARTS      32                     /* of one form */
#define TW_LIMIT_MULTIPART_HEAD_BYTES 4096                   /* of one part */

/* Embeddings */
#define TW_LIMIT_EMBEDDINGS         2048   /* texts of one request */
#define TW_LIMIT_EMBEDDINGS_AT_ONCE 32     /* of them that a model has; the others wait */
#define TW_LIMIT_EMBEDDED_TOKENS    300000 /* of all of them together */

/* Stores */
#define TW_LIMIT_DB_SQL_BYTES    (1u << 20)  /* of a statement, or of several run together */
#define TW_LIMIT_DB_PARAMETERS   128         /* of a statement */
#define TW_LIMIT_DB_VALUE_BYTES  (16u << 20) /* of a text or of bytes */
#define TW_LIMIT_DB_ROWS_BYTES   ((size_t)256 << 20) /* of a query, where they are kept in memory */
#define TW_LIMIT_DB_VERSIONS     10000               /* of a schema */
#define TW_LIMIT_DB_WAIT_MS      10000               /* for a lock that somebody else has */
#define TW_LIMIT_DB_SILENT_MS    5000   /* of a server that acknowledges nothing, then it is lost */
#define TW_LIMIT_DB_STATEMENT_MS 11000  /* of a statement, then its server gives it up */
#define TW_LIMIT_DB_ANSWER_MS    12000  /* of a server that only acknowledges, then it is lost */
#define TW_LIMIT_DB_REPORT_MS    600000 /* instead of both, for lists, reports, migrations */
#define TW_LIMIT_DB_CONNECT_S    10     /* for the first connection */
#define TW_LIMIT_DB_RECONNECT_MS 2000   /* for one attempt */
#define TW_LIMIT_DB_IDLE_MS      5000   /* that a transaction may wait for its next statement */
#define TW_LIMIT_DB_LOG_FRAMES   1000   /* pages in a log before they are brought into the file */
#define TW_LIMIT_DB_UNANSWERED   1000   /* statements that were sent and not looked after yet */
#define TW_LIMIT_DB_UNSENT_BYTES ((size_t)1 << 20) /* of them, that wait to be sent */

/* Audit log */
#define TW_LIMIT_AUDIT_LOG_BYTES     64 /* a log's name */
#define TW_LIMIT_AUDIT_KIND_BYTES    64 /* what a record is of */
#define TW_LIMIT_AUDIT_BODY_BYTES    ((size_t)1 << 20)
#define TW_LIMIT_AUDIT_TEXT_BYTES    4096              /* one text in a body; longer ones are cut */
#define TW_LIMIT_AUDIT_DEPTH         4                 /* objects and lists in one another */
#define TW_LIMIT_AUDIT_BUDGETS       64                /* named in the record of a request */
#define TW_LIMIT_AUDIT_CHANGES       64                /* fields of one change of configuration */
#define TW_LIMIT_AUDIT_LINE_BYTES    ((size_t)4 << 20) /* of an export */
#define TW_LIMIT_AUDIT_FILE_BYTES    4096              /* a checkpoint or a key */
#define TW_LIMIT_AUDIT_CHECKPOINT_NS ((int64_t)1000000000) /* from one to the next */

/* Reports from the books */
#define TW_LIMIT_REPORT_COLUMNS     10000                  /* of a table */
#define TW_LIMIT_REPORT_PART        20000                  /* rows that one transaction reads */
#define TW_LIMIT_REPORT_BYTES       ((size_t)512 << 20)    /* of one, and of the names in it */
#define TW_LIMIT_USAGE_ROWS         (1u << 17)             /* combinations of dimensions */
#define TW_LIMIT_USAGE_MODELS       4096                   /* names of models and classes */
#define TW_LIMIT_USAGE_VERSIONS     32                     /* of prices, that a row lists */
#define TW_LIMIT_INVOICE_SETTLED_NS ((int64_t)60000000000) /* after which a month gets no more */

/* Policies */
#define TW_LIMIT_POLICY_CLASSES          16
#define TW_LIMIT_POLICY_ZONES            64 /* sets of zones and detectors are 64 bits */
#define TW_LIMIT_POLICY_DETECTORS        64
#define TW_LIMIT_POLICY_FLOORS           256
#define TW_LIMIT_POLICY_RULES            256
#define TW_LIMIT_POLICY_WORDS            64     /* in one list of a rule */
#define TW_LIMIT_POLICY_NAME_BYTES       64     /* of a class, zone, detector or rule */
#define TW_LIMIT_POLICY_PATTERN_BYTES    256    /* that a project or a model is to fit */
#define TW_LIMIT_POLICY_SENTENCE_BYTES   240    /* with which a rule refuses */
#define TW_LIMIT_POLICY_TRUST            1000   /* of a zone */
#define TW_LIMIT_POLICY_EXPRESSION_BYTES 1024   /* of a detector */
#define TW_LIMIT_POLICY_REPEAT           256    /* m of x{n,m} in it */
#define TW_LIMIT_POLICY_STEPS            200000 /* of it in a text, some ten nanoseconds each, */
#define TW_LIMIT_POLICY_STEPS_PER_BYTE   32     /* and for each byte of that */
#define TW_LIMIT_POLICY_TEXTS_DEEP       3      /* JSON as a text in JSON as a text ... */
#define TW_LIMIT_POLICY_PSEUDONYMS       65536  /* of one request */
#define TW_LIMIT_POLICY_TEXT_BYTES       ((size_t)64 << 20) /* one text, once it is redacted */
#define TW_LIMIT_POLICY_CASES            4096               /* of a file that tests a policy */
#define TW_LIMIT_POLICY_GROUPS           131072 /* kinds of requests that a replay tells apart */

/* Commands */
#define TW_LIMIT_BENCH_ROUNDS     1000
#define TW_LIMIT_BENCH_POINTS     64
#define TW_LIMIT_BENCH_BODY_BYTES (16u << 20) /* of a request, or an event of its answer */
#define TW_LIMIT_BENCH_CLIENTS    4096
#define TW_LIMIT_BENCH_REQUESTS   1000000
#define TW_LIMIT_OPTION_REPEATS   1024        /* how often one option may stand on a command line */
#define TW_LIMIT_PROMPT_BYTES     (64u << 20) /* a prompt from a file or from standard input */
#define TW_LIMIT_CHAT_LINE_BYTES  (1u << 20)  /* one message typed into a chat */

/* Commands of the hub */
#define TW_LIMIT_HUB_NAME_BYTES     64  /* of an organisation, team, project, key, person, budget */
#define TW_LIMIT_HUB_TEXT_BYTES     256 /* of one value of a command: a path, a model's name */
#define TW_LIMIT_HUB_FIELDS         24  /* of one command */
#define TW_LIMIT_HUB_LIST_NAMES     64  /* models that one holder may use by name */
#define TW_LIMIT_HUB_CONCURRENT     100000                       /* requests at once */
#define TW_LIMIT_HUB_LIMIT_TOKENS   INT64_C(1000000000000000)    /* of a budget */
#define TW_LIMIT_HUB_LIMIT_NANO     INT64_C(1000000000000000000) /* a thousand million units */
#define TW_LIMIT_HUB_DURATION_S     INT64_C(3155760000)          /* a hundred years */
#define TW_LIMIT_HUB_SECRETS        16 /* of one key, that are good at the same time */
#define TW_LIMIT_HUB_GRANTS         64 /* roles of one person */
#define TW_LIMIT_HUB_CHANGE_BYTES   ((size_t)1 << 20) /* of texts that one command changes */
#define TW_LIMIT_HUB_REFUSALS       64    /* of a caller's commands, on record in an hour */
#define TW_LIMIT_HUB_ROWS           10000 /* of one answer of a list */
#define TW_LIMIT_HUB_LIST_ROWS      1000  /* where nobody says how many */
#define TW_LIMIT_ADMIN_BODY_BYTES   65536 /* of a command as JSON */
#define TW_LIMIT_ADMIN_ANSWER_BYTES ((size_t)64 << 20)
#define TW_LIMIT_ADMIN_CONNECTIONS  32
#define TW_LIMIT_ADMIN_REPORTS      16 /* that wait */

/* Sealing */
#define TW_LIMIT_REACH_ADDRESSES 64   /* that a sealed process may still be connected to */
#define TW_LIMIT_SEAL_FILES      8192 /* descriptors of one process that are looked at */
#define TW_LIMIT_SEAL_THREADS    4096 /* of one process that are looked at */
#define TW_LIMIT_SEAL_PROC_BYTES ((size_t)64 << 20) /* of one file of /proc */

/* Evaluation files */
#define TW_LIMIT_EVAL_FILE_BYTES (64u << 20)
#define TW_LIMIT_EVAL_ROW_BYTES  (1u << 20) /* one line */
#define TW_LIMIT_EVAL_ROWS       (1u << 20)
#define TW_LIMIT_EVAL_TASKS      256 /* different ones in a file */
#define TW_LIMIT_EVAL_TASK_BYTES 64  /* a task's name */

#endif
