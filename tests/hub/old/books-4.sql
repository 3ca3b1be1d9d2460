CREATE TABLE public.account (
    id bigint NOT NULL,
    kind text NOT NULL,
    project bigint NOT NULL,
    debit_nano bigint NOT NULL,
    credit_nano bigint NOT NULL,
    debit_tokens bigint NOT NULL,
    credit_tokens bigint NOT NULL,
    CONSTRAINT account_kind_check CHECK ((kind = ANY (ARRAY['held'::text, 'usage'::text, 'obligations'::text, 'revenue'::text])))
);
CREATE TABLE public.audit (
    log text NOT NULL,
    seq bigint NOT NULL,
    at_ns bigint NOT NULL,
    kind text NOT NULL,
    body text NOT NULL,
    hash bytea NOT NULL
);
CREATE TABLE public.books (
    id bigint NOT NULL,
    log text NOT NULL,
    currency text NOT NULL,
    created_ns bigint NOT NULL,
    last_ns bigint NOT NULL,
    next_id bigint NOT NULL,
    next_entry bigint NOT NULL,
    next_request bigint NOT NULL,
    writer bigint NOT NULL,
    CONSTRAINT books_id_check CHECK ((id = 1))
);
CREATE TABLE public.budget (
    id bigint NOT NULL,
    holder bigint NOT NULL,
    name text NOT NULL,
    unit text NOT NULL,
    limit_value bigint NOT NULL,
    is_hard bigint NOT NULL,
    period text NOT NULL,
    zone text NOT NULL,
    rolls_over bigint NOT NULL,
    since_entry bigint NOT NULL,
    until_entry bigint,
    created_ns bigint NOT NULL,
    CONSTRAINT budget_unit_check CHECK ((unit = ANY (ARRAY['money'::text, 'tokens'::text])))
);
CREATE TABLE public.budget_window (
    budget bigint NOT NULL,
    starts_s bigint NOT NULL,
    ends_s bigint NOT NULL,
    carried bigint NOT NULL,
    spent bigint NOT NULL,
    reserved bigint NOT NULL,
    was_crossed bigint DEFAULT 0 NOT NULL
);
CREATE TABLE public.checkpoint (
    log text NOT NULL,
    number bigint NOT NULL,
    seq bigint NOT NULL,
    at_ns bigint NOT NULL,
    hash bytea NOT NULL,
    signature bytea NOT NULL
);
CREATE TABLE public.content (
    request bigint NOT NULL,
    client_id text NOT NULL,
    org bigint NOT NULL,
    team bigint NOT NULL,
    project bigint NOT NULL,
    erasures bigint NOT NULL,
    at_ns bigint NOT NULL,
    ended_ns bigint,
    ended text,
    subject bytea,
    sealed bytea
);
CREATE TABLE public.entry (
    id bigint NOT NULL,
    at_ns bigint NOT NULL,
    kind text NOT NULL,
    request bigint NOT NULL,
    debit bigint NOT NULL,
    credit bigint NOT NULL,
    amount_nano bigint NOT NULL,
    tokens bigint NOT NULL,
    api_key bigint NOT NULL,
    reserve_entry bigint NOT NULL,
    reserved_ns bigint NOT NULL,
    model text NOT NULL,
    class text NOT NULL,
    price bigint NOT NULL,
    input_tokens bigint NOT NULL,
    cached_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    CONSTRAINT entry_amount_nano_check CHECK ((amount_nano >= 0)),
    CONSTRAINT entry_kind_check CHECK ((kind = ANY (ARRAY['reserve'::text, 'release'::text, 'settle'::text]))),
    CONSTRAINT entry_tokens_check CHECK ((tokens >= 0))
);
CREATE TABLE public.erasure (
    number bigint NOT NULL,
    subject bytea NOT NULL,
    scope bigint NOT NULL,
    at_ns bigint NOT NULL,
    is_done bigint NOT NULL
);
CREATE TABLE public.holder (
    id bigint NOT NULL,
    kind text NOT NULL,
    parent bigint NOT NULL,
    name text NOT NULL,
    created_ns bigint NOT NULL,
    closed_ns bigint,
    weight bigint DEFAULT 1 NOT NULL,
    class text DEFAULT 'normal'::text NOT NULL,
    models text,
    max_context_tokens bigint DEFAULT 0 NOT NULL,
    default_answer_tokens bigint DEFAULT 0 NOT NULL,
    requests_per_minute bigint DEFAULT 0 NOT NULL,
    tokens_per_minute bigint DEFAULT 0 NOT NULL,
    concurrent_requests bigint DEFAULT 0 NOT NULL,
    may_use_special bigint DEFAULT 0 NOT NULL,
    stores_content bigint DEFAULT 0 NOT NULL,
    keep_content_ns bigint DEFAULT 0 NOT NULL,
    CONSTRAINT holder_kind_check CHECK ((kind = ANY (ARRAY['org'::text, 'team'::text, 'project'::text, 'key'::text])))
);
CREATE TABLE public.hub_process (
    id bigint NOT NULL,
    seen_ns bigint NOT NULL
);
CREATE TABLE public.legal_hold (
    id bigint NOT NULL,
    subject bytea NOT NULL,
    scope bigint NOT NULL,
    reason text NOT NULL,
    since_ns bigint NOT NULL,
    released_ns bigint
);
CREATE TABLE public.person (
    id bigint NOT NULL,
    org bigint NOT NULL,
    name text NOT NULL,
    created_ns bigint NOT NULL,
    closed_ns bigint
);
CREATE TABLE public.person_role (
    person bigint NOT NULL,
    role text NOT NULL,
    scope bigint NOT NULL
);
CREATE TABLE public.price (
    id bigint NOT NULL,
    project bigint NOT NULL,
    model text NOT NULL,
    class text NOT NULL,
    input_nano bigint NOT NULL,
    cached_nano bigint NOT NULL,
    output_nano bigint NOT NULL,
    valid_from_ns bigint NOT NULL,
    created_ns bigint NOT NULL
);
CREATE TABLE public.reservation (
    request bigint NOT NULL,
    entry bigint NOT NULL,
    api_key bigint NOT NULL,
    model text NOT NULL,
    class text NOT NULL,
    price bigint NOT NULL,
    prompt_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    amount_nano bigint NOT NULL,
    reserved_ns bigint NOT NULL,
    watermark_tokens bigint NOT NULL,
    hub bigint NOT NULL,
    client_id text NOT NULL
);
CREATE TABLE public.schema_version (
    id bigint NOT NULL,
    version bigint NOT NULL,
    CONSTRAINT schema_version_id_check CHECK ((id = 1))
);
CREATE TABLE public.secret (
    id bigint NOT NULL,
    holder bigint NOT NULL,
    person bigint NOT NULL,
    shown text NOT NULL,
    hash bytea NOT NULL,
    created_ns bigint NOT NULL,
    expires_ns bigint,
    revoked_ns bigint
);
INSERT INTO public.account VALUES (2, 'revenue', 0, 0, 74000, 0, 47);
INSERT INTO public.account VALUES (7, 'usage', 5, 74000, 0, 47, 0);
INSERT INTO public.account VALUES (1, 'obligations', 0, 80000, 882000, 50, 452);
INSERT INTO public.account VALUES (6, 'held', 5, 882000, 80000, 452, 50);
INSERT INTO public.audit VALUES ('af2ce5934efeb83bd2fb3133259c7a1f', 1, 1795836939738746523, 'config.changed', '{"actor_name":"uid 0","after":{"name":"acme"},"before":{},"command":"org create","object":"acme"}', '\x8a621d7c659cf6b00c920675a942c521ff0be48aefddbda10e876eb8a935c1bc');
INSERT INTO public.audit VALUES ('af2ce5934efeb83bd2fb3133259c7a1f', 2, 1795836939857018433, 'config.changed', '{"actor_name":"uid 0","after":{"name":"research"},"before":{},"command":"team create","object":"acme/research"}', '\x4ee3e5849b5819b9fc5ce5dc7c8f62685e6d94d67818f71f13b4e8c78075d710');
INSERT INTO public.audit VALUES ('af2ce5934efeb83bd2fb3133259c7a1f', 3, 1795836939916512780, 'config.changed', '{"actor_name":"uid 0","after":{"name":"chat"},"before":{},"command":"project create","object":"acme/research/chat"}', '\xa6cd4d129ca03739e001f4b58398ee572baa50091c16107eaec7dbe51654a634');
INSERT INTO public.audit VALUES ('af2ce5934efeb83bd2fb3133259c7a1f', 4, 1795836940045923539, 'config.changed', '{"actor_name":"uid 0","after":{"cached_nano":500000000,"class":"standard","from_ns":1795836940045923539,"input_nano":1000000000,"output_nano":2000000000,"project":0,"version":8},"before":{},"command":"price set","object":"*"}', '\x58136f7a33723d76202a402f4a4e92ad58d9a0dc6b1a4b42c606e1e83d3c3c93');
INSERT INTO public.audit VALUES ('af2ce5934efeb83bd2fb3133259c7a1f', 5, 1795836940216538252, 'config.changed', '{"actor_name":"uid 0","after":{"name":"ci","secret":"tw-gybE4Y...","secret_expires_ns":"never"},"before":{},"command":"key create","object":"acme/research/chat/ci"}', '\x1fdc5bf1afabab0d001eb30b2f2d127ff5d5399070b4837a94e2f920c4274deb');
INSERT INTO public.audit VALUES ('af2ce5934efeb83bd2fb3133259c7a1f', 6, 1795836940300501107, 'config.changed', '{"actor_name":"uid 0","after":{"name":"lea"},"before":{},"command":"user create","object":"acme/lea"}', '\xd474c0a7b3a767bd1c2704955b81c25fb3e49cfe23b1be3a81122c4ac4f2fb76');
INSERT INTO public.audit VALUES ('af2ce5934efeb83bd2fb3133259c7a1f', 7, 1795836940372449630, 'config.changed', '{"actor_name":"uid 0","after":{"finance":"acme"},"before":{},"command":"user grant","object":"acme/lea"}', '\x4c76c3634ff779b8cdb3ae2c645b4237d308c2a2195bba9270e3b5bc4da6705c');
INSERT INTO public.audit VALUES ('af2ce5934efeb83bd2fb3133259c7a1f', 8, 1795836940461027539, 'config.changed', '{"actor_name":"uid 0","after":{"secret":"tw-user-dhfI1m...","secret_expires_ns":"never"},"before":{},"command":"user secret","object":"acme/lea"}', '\xa2bd2a3dcf94788429d7da49911ab71d331a9d1a4694b1acb88311ecf3191196');
INSERT INTO public.audit VALUES ('af2ce5934efeb83bd2fb3133259c7a1f', 9, 1795836940536614167, 'config.changed', '{"actor_name":"uid 0","after":{"name":"own","rpm":600,"secret":"tw-Hmpbtp...","secret_expires_ns":"never"},"before":{},"command":"key create","object":"acme/research/chat/own"}', '\x0f638a31ab31b70a79eebdb0542661fc3f3be764140b6a64e562ff41b87f8cd5');
INSERT INTO public.audit VALUES ('af2ce5934efeb83bd2fb3133259c7a1f', 10, 1795836940617059527, 'config.changed', '{"actor_name":"uid 0","after":{"name":"old","secret":"tw-P-0ogd...","secret_expires_ns":"never"},"before":{},"command":"key create","object":"acme/research/chat/old"}', '\x500e105a20b10c32545ff027db198e2f07b93f7c6cf9085da37c143787627eaa');
INSERT INTO public.audit VALUES ('af2ce5934efeb83bd2fb3133259c7a1f', 11, 1795836940695915581, 'config.changed', '{"actor_name":"uid 0","after":{"state":"revoked"},"before":{"state":"open"},"command":"key revoke","object":"acme/research/chat/old"}', '\x864a454d236e1527c89dcb8ae97ad1f412db135d21486726c9f1cd2ed16151ab');
INSERT INTO public.audit VALUES ('af2ce5934efeb83bd2fb3133259c7a1f', 12, 1795836940777174567, 'config.changed', '{"actor_name":"uid 0","after":{"budget":"main","hard":1,"limit":100000000000,"period":"total","rollover":0,"unit":"money","zone":"UTC"},"before":{},"command":"budget set","object":"acme"}', '\x58444e66db210998380ecb84a1e504080d87041e6d57b039f14777286c37db6c');
INSERT INTO public.audit VALUES ('af2ce5934efeb83bd2fb3133259c7a1f', 13, 1795836940845131975, 'config.changed', '{"actor_name":"uid 0","after":{"budget":"main","hard":1,"limit":5000000,"period":"month","rollover":1,"unit":"tokens","zone":"UTC"},"before":{},"command":"budget set","object":"acme/research"}', '\xdc1a85e8c1c67031df840c2d021a9140151478daa4cc3f9d50fe705c10702211');
INSERT INTO public.audit VALUES ('af2ce5934efeb83bd2fb3133259c7a1f', 14, 1795836940925100430, 'config.changed', '{"actor_name":"uid 0","after":{"budget":"main","hard":0,"limit":1000000000,"period":"month","rollover":0,"unit":"money","zone":"UTC"},"before":{},"command":"budget set","object":"acme/research/chat"}', '\xc9bfc12f643be47091b9c9e0a89556b23127557eeec5f15985022b55e6ff6234');
INSERT INTO public.audit VALUES ('af2ce5934efeb83bd2fb3133259c7a1f', 15, 1795836940993151927, 'config.changed', '{"actor_name":"uid 0","after":{"name":"gone"},"before":{},"command":"team create","object":"acme/gone"}', '\x5d8dc5c464a586e9fecaf83ff9bf025e309cbe46b05e5baba27918190145384f');
INSERT INTO public.audit VALUES ('af2ce5934efeb83bd2fb3133259c7a1f', 16, 1795836941053166102, 'config.changed', '{"actor_name":"uid 0","after":{"state":"closed"},"before":{"state":"open"},"command":"team close","object":"acme/gone"}', '\xbc18f031fe3e663e09bd92d8ddac455611564ff2cd4080b13ecf403154e38a17');
INSERT INTO public.audit VALUES ('af2ce5934efeb83bd2fb3133259c7a1f', 17, 1795836941126760300, 'hub.started', '{"build":"0.1.0","currency":"EUR","isa":"avx512","recovered":0}', '\x5d6e8c62f5751b80e94c7d554d265bbd0d15c40630833eb29322c1c42d188358');
INSERT INTO public.audit VALUES ('af2ce5934efeb83bd2fb3133259c7a1f', 18, 1795836941214228818, 'request.settled', '{"budgets":[{"budget":19,"left_after":999988000,"left_before":1000000000,"starts_s":1793491200},{"budget":18,"left_after":4999992,"left_before":5000000,"starts_s":1793491200},{"budget":17,"left_after":99999988000,"left_before":100000000000,"starts_s":0}],"build":"0.1.0","cached_tokens":0,"commitment":"9ffa6367b1c2d82769abc26e67d34c335374e120ea1824be3675c99b55b65d40","cost_nano":12000,"finish":"length","isa":"avx512","key":9,"model":"tokenworks-demo","model_digest":"a54e66017dc235b2ac8b3137e9c2be7026687ff942460b93865d705736d6c959","number":1,"org":3,"output_tokens":4,"price":8,"price_class":"standard","project":5,"prompt_tokens":4,"request":"cmpl-req_d635927a7cb75c3bf4e250a2b7515ef8","sampling":{"frequency_penalty":"0","max_tokens":4,"min_p":"0","presence_penalty":"0","repetition_penalty":"1","seed":"11994203931514845918","temperature":"1","top_k":0,"top_p":"1"},"subject":"46156ace36ef3323be6da124001505fd","team":4}', '\xc82b03ac6105a6fed92bfff9a9b2c2ca57cbe3d23417c04efe2437582eeb8ec6');
INSERT INTO public.audit VALUES ('af2ce5934efeb83bd2fb3133259c7a1f', 19, 1795836941254663751, 'request.settled', '{"budgets":[{"budget":19,"left_after":999974000,"left_before":999988000,"starts_s":1793491200},{"budget":18,"left_after":4999983,"left_before":4999992,"starts_s":1793491200},{"budget":17,"left_after":99999974000,"left_before":99999988000,"starts_s":0}],"build":"0.1.0","cached_tokens":0,"commitment":"588d40811eb47a493625b76de9b62733f2090470aab24756ce0e80fac8c408ae","cost_nano":14000,"finish":"length","isa":"avx512","key":13,"model":"tokenworks-demo","model_digest":"a54e66017dc235b2ac8b3137e9c2be7026687ff942460b93865d705736d6c959","number":2,"org":3,"output_tokens":5,"price":8,"price_class":"standard","project":5,"prompt_tokens":4,"request":"cmpl-req_c4fcec152403e219c255738b78988962","sampling":{"frequency_penalty":"0","max_tokens":5,"min_p":"0","presence_penalty":"0","repetition_penalty":"1","seed":"16101720023547874533","temperature":"1","top_k":0,"top_p":"1"},"subject":"ed9462909eb54037be3b547fb80db95c","team":4,"user":11}', '\xa7b940064065ae18e92e166822ce5b8e9e61a4d20f1bdd5576224fd39d07864d');
INSERT INTO public.audit VALUES ('af2ce5934efeb83bd2fb3133259c7a1f', 20, 1795836941287165126, 'request.settled', '{"budgets":[{"budget":19,"left_after":999958000,"left_before":999974000,"starts_s":1793491200},{"budget":18,"left_after":4999973,"left_before":4999983,"starts_s":1793491200},{"budget":17,"left_after":99999958000,"left_before":99999974000,"starts_s":0}],"build":"0.1.0","cached_tokens":0,"commitment":"ef58ac22ad4cbc9c3298926ff5641adcfd83a8ddc1e018bc358b18770f6cdb85","cost_nano":16000,"finish":"length","isa":"avx512","key":9,"model":"tokenworks-demo","model_digest":"a54e66017dc235b2ac8b3137e9c2be7026687ff942460b93865d705736d6c959","number":3,"org":3,"output_tokens":6,"price":8,"price_class":"standard","project":5,"prompt_tokens":4,"request":"cmpl-req_535509c01cd399e24d0fddc0d038d24e","sampling":{"frequency_penalty":"0","max_tokens":6,"min_p":"0","presence_penalty":"0","repetition_penalty":"1","seed":"11442619424909865309","temperature":"1","top_k":0,"top_p":"1"},"subject":"8a8eb656f7fb452b4d4c4846572fedb0","team":4}', '\xde07be0eb095396151ae6222499f7f9d061bec598203e19eb037723587e571e1');
INSERT INTO public.audit VALUES ('af2ce5934efeb83bd2fb3133259c7a1f', 21, 1795836941318008744, 'request.settled', '{"budgets":[{"budget":19,"left_after":999940000,"left_before":999958000,"starts_s":1793491200},{"budget":18,"left_after":4999962,"left_before":4999973,"starts_s":1793491200},{"budget":17,"left_after":99999940000,"left_before":99999958000,"starts_s":0}],"build":"0.1.0","cached_tokens":0,"commitment":"db684cfb587d747361bd89f9d00df6f1dc056ed5b78627fffe7948ba25aef547","cost_nano":18000,"finish":"length","isa":"avx512","key":13,"model":"tokenworks-demo","model_digest":"a54e66017dc235b2ac8b3137e9c2be7026687ff942460b93865d705736d6c959","number":4,"org":3,"output_tokens":7,"price":8,"price_class":"standard","project":5,"prompt_tokens":4,"request":"cmpl-req_b7fcf13f594529724612d84380debba8","sampling":{"frequency_penalty":"0","max_tokens":7,"min_p":"0","presence_penalty":"0","repetition_penalty":"1","seed":"17940000074639119354","temperature":"1","top_k":0,"top_p":"1"},"subject":"48a5ea5b2dba62751cb32553d26a0015","team":4,"user":11}', '\x850c1557825ad3b75af46bd21e3be68ec3d5951cd36585b3048dbcb9bc0ddad5');
INSERT INTO public.audit VALUES ('af2ce5934efeb83bd2fb3133259c7a1f', 22, 1795836941341378908, 'request.settled', '{"budgets":[{"budget":19,"left_after":999926000,"left_before":999940000,"starts_s":1793491200},{"budget":18,"left_after":4999953,"left_before":4999962,"starts_s":1793491200},{"budget":17,"left_after":99999926000,"left_before":99999940000,"starts_s":0}],"build":"0.1.0","cached_tokens":0,"commitment":"03e0196a160c39602847ee36f7352b286ecc97366cc68be2ae6d5ac2e40ea9d2","cost_nano":14000,"finish":"stop","isa":"avx512","key":9,"model":"tokenworks-demo","model_digest":"a54e66017dc235b2ac8b3137e9c2be7026687ff942460b93865d705736d6c959","number":5,"org":3,"output_tokens":5,"price":8,"price_class":"standard","project":5,"prompt_tokens":4,"request":"cmpl-req_486a73f66945edf526a8f12d4e616c24","sampling":{"frequency_penalty":"0","max_tokens":8,"min_p":"0","presence_penalty":"0","repetition_penalty":"1","seed":"17893456999858699683","temperature":"1","top_k":0,"top_p":"1"},"subject":"4ad92c8ec5899e0a1a270980e65e1195","team":4}', '\x10348192afcd025df453bc968abe617dc318f258100161fbef72f744c0a602bc');
INSERT INTO public.books VALUES (1, 'af2ce5934efeb83bd2fb3133259c7a1f', 'EUR', 1795836939656915921, 1795836941345587081, 21, 17, 7, 1091199379338487200);
INSERT INTO public.budget VALUES (17, 3, 'main', 'money', 100000000000, 1, 'total', 'UTC', 0, 1, NULL, 1795836940777174567);
INSERT INTO public.budget VALUES (18, 4, 'main', 'tokens', 5000000, 1, 'month', 'UTC', 1, 1, NULL, 1795836940845131975);
INSERT INTO public.budget VALUES (19, 5, 'main', 'money', 1000000000, 0, 'month', 'UTC', 0, 1, NULL, 1795836940925100430);
INSERT INTO public.budget_window VALUES (17, 0, 9223372036854775807, 0, 74000, 802000, 0);
INSERT INTO public.budget_window VALUES (18, 1793491200, 1796083200, 0, 47, 402, 0);
INSERT INTO public.budget_window VALUES (19, 1793491200, 1796083200, 0, 74000, 802000, 0);
INSERT INTO public.checkpoint VALUES ('af2ce5934efeb83bd2fb3133259c7a1f', 1, 1, 1795836939738746523, '\x8a621d7c659cf6b00c920675a942c521ff0be48aefddbda10e876eb8a935c1bc', '\x9a57fc9c8df6bba8b90124dfc0a2923ae7602f95b992b1f8aa86244b2cb7580bc0bb3efa9cdc2288b5ae11ef5a7f1bca963c3bc9e23e8a9a415b1beec0e06c0e');
INSERT INTO public.checkpoint VALUES ('af2ce5934efeb83bd2fb3133259c7a1f', 2, 2, 1795836939860596639, '\x4ee3e5849b5819b9fc5ce5dc7c8f62685e6d94d67818f71f13b4e8c78075d710', '\x692f930d55830e8e4e3563c708d8208e6c9540bac2342150887e17c56203432ab76756649166ee95852d1efecc3add9188ea57f563e456a2177f59c194b8ee06');
INSERT INTO public.checkpoint VALUES ('af2ce5934efeb83bd2fb3133259c7a1f', 3, 3, 1795836939956459431, '\xa6cd4d129ca03739e001f4b58398ee572baa50091c16107eaec7dbe51654a634', '\x24e5e20fa9d2a05947df5fc4bfaf4308f53ee4255c57db8df9ed1e92cbd8d34a245f0cff3f3ede66903184c8197983f323913221ad9f11bf789df73bf08f3607');
INSERT INTO public.checkpoint VALUES ('af2ce5934efeb83bd2fb3133259c7a1f', 4, 4, 1795836940088817362, '\x58136f7a33723d76202a402f4a4e92ad58d9a0dc6b1a4b42c606e1e83d3c3c93', '\xe62806389464bb8f3ee3f315c8eb6a8e40b85f63ad551721cf87eafad585ae23d26f7676bdcb908331dada1772dd0fa4f6288242a2a137266ca0267bebfd5905');
INSERT INTO public.checkpoint VALUES ('af2ce5934efeb83bd2fb3133259c7a1f', 5, 5, 1795836940226936889, '\x1fdc5bf1afabab0d001eb30b2f2d127ff5d5399070b4837a94e2f920c4274deb', '\x49a11a875711c25c625b09462f0862ef5bbfd6aa2d50e59429b0d230095e8236dba314e5c51338319baef96b3b6a609eb0467a1592b43ca657418bcaf8c0a400');
INSERT INTO public.checkpoint VALUES ('af2ce5934efeb83bd2fb3133259c7a1f', 6, 6, 1795836940305709865, '\xd474c0a7b3a767bd1c2704955b81c25fb3e49cfe23b1be3a81122c4ac4f2fb76', '\xd98e0d836964da8da73315957caf94186e91932b1d3a535057368442a89ca8f726c98702336c1dcfc8d6c724f2bdb7baebba86d1e6c10f19806fb973d5f63d06');
INSERT INTO public.checkpoint VALUES ('af2ce5934efeb83bd2fb3133259c7a1f', 7, 7, 1795836940376608470, '\x4c76c3634ff779b8cdb3ae2c645b4237d308c2a2195bba9270e3b5bc4da6705c', '\x24f702dcbc71f585bdc3282c14fa3652f9a0aaaab3bf339d0717a02e0709fa101667d9f4f8017350d29291074149f4593685480699e5ca5155260e7000f6a10f');
INSERT INTO public.checkpoint VALUES ('af2ce5934efeb83bd2fb3133259c7a1f', 8, 8, 1795836940464811982, '\xa2bd2a3dcf94788429d7da49911ab71d331a9d1a4694b1acb88311ecf3191196', '\xd29f1c75347b128142a9f65064fbd2841b627979a4b7f4980715c1948bb911f71567265762efbbc71be422d0c9075ba4f76c98c31e79793f7cbb4d2ed569a102');
INSERT INTO public.checkpoint VALUES ('af2ce5934efeb83bd2fb3133259c7a1f', 9, 9, 1795836940548636056, '\x0f638a31ab31b70a79eebdb0542661fc3f3be764140b6a64e562ff41b87f8cd5', '\xfac92f059b5a3a628656cec8425d677bf8f96adb1f8052d8533fb1a10cfcb298744291bb0ab373ede842d914868108ecf444dbad830394535a73108e43d18c09');
INSERT INTO public.checkpoint VALUES ('af2ce5934efeb83bd2fb3133259c7a1f', 10, 10, 1795836940620591063, '\x500e105a20b10c32545ff027db198e2f07b93f7c6cf9085da37c143787627eaa', '\xfe0ea8b80bba08a2a6df010f02b4a37b8672279074dec00ff43071a2cc089db0537365945c2c86c928ca22b52f3c9aab6ae9ca4f005712bde821a35b4903ad08');
INSERT INTO public.checkpoint VALUES ('af2ce5934efeb83bd2fb3133259c7a1f', 11, 11, 1795836940704329825, '\x864a454d236e1527c89dcb8ae97ad1f412db135d21486726c9f1cd2ed16151ab', '\x97e9182ed37f0991d6f65f3501c19f646f01a1d693c17ddae18a590839710d3834303e21e761f19718b7f2bee5ff0d9b4ae38ade366107c90b9c0da8239b3c0a');
INSERT INTO public.checkpoint VALUES ('af2ce5934efeb83bd2fb3133259c7a1f', 12, 12, 1795836940784671906, '\x58444e66db210998380ecb84a1e504080d87041e6d57b039f14777286c37db6c', '\x54ac8e2c0cbbe95609722fe5d9a7665eed0491358f1b717aebd32e8f9872c663e0ff60dacac22e3202fdb6d36c0f61bd29b8ddfc85b1ff8b808707322fbfb908');
INSERT INTO public.checkpoint VALUES ('af2ce5934efeb83bd2fb3133259c7a1f', 13, 13, 1795836940859178922, '\xdc1a85e8c1c67031df840c2d021a9140151478daa4cc3f9d50fe705c10702211', '\x9d5c0ae50985c0157c044db4754d77f5548b992b82bd9363796039ba3c722c9f6d425c6c025c7cfe0515cba4c8235d8cff3c554f595d759efc42a689e3602a09');
INSERT INTO public.checkpoint VALUES ('af2ce5934efeb83bd2fb3133259c7a1f', 14, 14, 1795836940932913569, '\xc9bfc12f643be47091b9c9e0a89556b23127557eeec5f15985022b55e6ff6234', '\xf359123a226fb6b7f1e841f85d210044d49f4e3c5f2afbc92cdca817802fb1f651ac9accaab9e01fc5c3ea39eec459184db9e13bf8f6b4e3ba7003b47e60e300');
INSERT INTO public.checkpoint VALUES ('af2ce5934efeb83bd2fb3133259c7a1f', 15, 15, 1795836940997489353, '\x5d8dc5c464a586e9fecaf83ff9bf025e309cbe46b05e5baba27918190145384f', '\x91d4b52cd3b3dca451c771fd1e50e51a85d28e3eedd0c4d0a78bd3f6027ae286e637bf11605dfdc267ac708978417b71e9b3840336b3ba679b3762fc47352103');
INSERT INTO public.checkpoint VALUES ('af2ce5934efeb83bd2fb3133259c7a1f', 16, 16, 1795836941068712892, '\xbc18f031fe3e663e09bd92d8ddac455611564ff2cd4080b13ecf403154e38a17', '\xe199d86ed097a49672e2164c94a11b3ad9aa98925a6260fd53cacbf7ade724b3b4654c88a2d09c909b8f76ea79e9d00e92b00830ae83bd7dbdf2acb7ecf9c40b');
INSERT INTO public.entry VALUES (1, 1795836941184706377, 'reserve', 1, 6, 1, 12000, 8, 9, 1, 1795836941184706377, 'tokenworks-demo', 'standard', 8, 0, 0, 0);
INSERT INTO public.entry VALUES (2, 1795836941214228818, 'release', 1, 1, 6, 12000, 8, 9, 1, 1795836941184706377, 'tokenworks-demo', 'standard', 8, 0, 0, 0);
INSERT INTO public.entry VALUES (3, 1795836941214228818, 'settle', 1, 7, 2, 12000, 8, 9, 1, 1795836941184706377, 'tokenworks-demo', 'standard', 8, 4, 0, 4);
INSERT INTO public.entry VALUES (4, 1795836941228724012, 'reserve', 2, 6, 1, 14000, 9, 13, 4, 1795836941228724012, 'tokenworks-demo', 'standard', 8, 0, 0, 0);
INSERT INTO public.entry VALUES (5, 1795836941254663751, 'release', 2, 1, 6, 14000, 9, 13, 4, 1795836941228724012, 'tokenworks-demo', 'standard', 8, 0, 0, 0);
INSERT INTO public.entry VALUES (6, 1795836941254663751, 'settle', 2, 7, 2, 14000, 9, 13, 4, 1795836941228724012, 'tokenworks-demo', 'standard', 8, 4, 0, 5);
INSERT INTO public.entry VALUES (7, 1795836941265699086, 'reserve', 3, 6, 1, 16000, 10, 9, 7, 1795836941265699086, 'tokenworks-demo', 'standard', 8, 0, 0, 0);
INSERT INTO public.entry VALUES (8, 1795836941287165126, 'release', 3, 1, 6, 16000, 10, 9, 7, 1795836941265699086, 'tokenworks-demo', 'standard', 8, 0, 0, 0);
INSERT INTO public.entry VALUES (9, 1795836941287165126, 'settle', 3, 7, 2, 16000, 10, 9, 7, 1795836941265699086, 'tokenworks-demo', 'standard', 8, 4, 0, 6);
INSERT INTO public.entry VALUES (10, 1795836941297621660, 'reserve', 4, 6, 1, 18000, 11, 13, 10, 1795836941297621660, 'tokenworks-demo', 'standard', 8, 0, 0, 0);
INSERT INTO public.entry VALUES (11, 1795836941318008744, 'release', 4, 1, 6, 18000, 11, 13, 10, 1795836941297621660, 'tokenworks-demo', 'standard', 8, 0, 0, 0);
INSERT INTO public.entry VALUES (12, 1795836941318008744, 'settle', 4, 7, 2, 18000, 11, 13, 10, 1795836941297621660, 'tokenworks-demo', 'standard', 8, 4, 0, 7);
INSERT INTO public.entry VALUES (13, 1795836941321435764, 'reserve', 5, 6, 1, 20000, 12, 9, 13, 1795836941321435764, 'tokenworks-demo', 'standard', 8, 0, 0, 0);
INSERT INTO public.entry VALUES (14, 1795836941341378908, 'release', 5, 1, 6, 20000, 12, 9, 13, 1795836941321435764, 'tokenworks-demo', 'standard', 8, 0, 0, 0);
INSERT INTO public.entry VALUES (15, 1795836941341378908, 'settle', 5, 7, 2, 14000, 9, 9, 13, 1795836941321435764, 'tokenworks-demo', 'standard', 8, 4, 0, 5);
INSERT INTO public.entry VALUES (16, 1795836941345587081, 'reserve', 6, 6, 1, 802000, 402, 9, 16, 1795836941345587081, 'tokenworks-demo', 'standard', 8, 0, 0, 0);
INSERT INTO public.holder VALUES (3, 'org', 0, 'acme', 1795836939738746523, NULL, 1, 'normal', NULL, 0, 0, 0, 0, 0, 0, 0, 0);
INSERT INTO public.holder VALUES (4, 'team', 3, 'research', 1795836939857018433, NULL, 1, 'normal', NULL, 0, 0, 0, 0, 0, 0, 0, 0);
INSERT INTO public.holder VALUES (5, 'project', 4, 'chat', 1795836939916512780, NULL, 1, 'normal', NULL, 0, 0, 0, 0, 0, 0, 0, 0);
INSERT INTO public.holder VALUES (9, 'key', 5, 'ci', 1795836940216538252, NULL, 1, 'normal', NULL, 0, 0, 0, 0, 0, 0, 0, 0);
INSERT INTO public.holder VALUES (13, 'key', 5, 'own', 1795836940536614167, NULL, 1, 'normal', NULL, 0, 0, 600, 0, 0, 0, 0, 0);
INSERT INTO public.holder VALUES (15, 'key', 5, 'old', 1795836940617059527, 1795836940695915581, 1, 'normal', NULL, 0, 0, 0, 0, 0, 0, 0, 0);
INSERT INTO public.holder VALUES (20, 'team', 3, 'gone', 1795836940993151927, 1795836941053166102, 1, 'normal', NULL, 0, 0, 0, 0, 0, 0, 0, 0);
INSERT INTO public.hub_process VALUES (4494978550459846618, 1795836939756853443);
INSERT INTO public.hub_process VALUES (1166388510280407119, 1795836939860596639);
INSERT INTO public.hub_process VALUES (3077483108111908124, 1795836939956459431);
INSERT INTO public.hub_process VALUES (2040527138843008650, 1795836940088817362);
INSERT INTO public.hub_process VALUES (1353622472383717079, 1795836940226936889);
INSERT INTO public.hub_process VALUES (3381983214159515161, 1795836940305709865);
INSERT INTO public.hub_process VALUES (2555250222528020911, 1795836940376608470);
INSERT INTO public.hub_process VALUES (1949191069648227288, 1795836940464811982);
INSERT INTO public.hub_process VALUES (1976682719715454935, 1795836940548636056);
INSERT INTO public.hub_process VALUES (4419754643985628882, 1795836940620591063);
INSERT INTO public.hub_process VALUES (1815965178842409539, 1795836940704329825);
INSERT INTO public.hub_process VALUES (2162153473089329194, 1795836940784671906);
INSERT INTO public.hub_process VALUES (1417944066229160672, 1795836940859178922);
INSERT INTO public.hub_process VALUES (4430577947905669631, 1795836940932913569);
INSERT INTO public.hub_process VALUES (3059903617767489150, 1795836940997489353);
INSERT INTO public.hub_process VALUES (1367154596698805755, 1795836941068712892);
INSERT INTO public.hub_process VALUES (1091199379338487200, 1795836941345587081);
INSERT INTO public.person VALUES (11, 3, 'lea', 1795836940300501107, NULL);
INSERT INTO public.person_role VALUES (11, 'finance', 3);
INSERT INTO public.price VALUES (8, 0, '*', 'standard', 1000000000, 500000000, 2000000000, 1795836940045923539, 1795836940045923539);
INSERT INTO public.reservation VALUES (6, 16, 9, 'tokenworks-demo', 'standard', 8, 2, 400, 802000, 1795836941345587081, 32, 1091199379338487200, 'cmpl-req_5db5b92ff8dc6f0a5fc76103f14174a0');
INSERT INTO public.schema_version VALUES (1, 4);
INSERT INTO public.secret VALUES (10, 9, 0, 'tw-gybE4Y...', '\x6f9c535f633795207a611b6048133a6507ef7cac23b825e4e92160314b16bdf2', 1795836940216538252, NULL, NULL);
INSERT INTO public.secret VALUES (12, 0, 11, 'tw-user-dhfI1m...', '\xe1c02642a9d218e0da9c8d837af878df186444037f50d7f63b11d617284be73c', 1795836940461027539, NULL, NULL);
INSERT INTO public.secret VALUES (14, 13, 11, 'tw-Hmpbtp...', '\x86900dbc802799b407c76456d35fb411a31eea84e5318bc4e0be1619077f3f39', 1795836940536614167, NULL, NULL);
INSERT INTO public.secret VALUES (16, 15, 0, 'tw-P-0ogd...', '\x9ec02c634ec73003578dd5b7caa7b8d92e68788e6ee149c42619762809eb0d94', 1795836940617059527, NULL, 1795836940695915581);
ALTER TABLE ONLY public.account
    ADD CONSTRAINT account_kind_project_key UNIQUE (kind, project);
ALTER TABLE ONLY public.account
    ADD CONSTRAINT account_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.audit
    ADD CONSTRAINT audit_pkey PRIMARY KEY (log, seq);
ALTER TABLE ONLY public.books
    ADD CONSTRAINT books_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.budget
    ADD CONSTRAINT budget_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.budget_window
    ADD CONSTRAINT budget_window_pkey PRIMARY KEY (budget, starts_s);
ALTER TABLE ONLY public.checkpoint
    ADD CONSTRAINT checkpoint_pkey PRIMARY KEY (log, seq);
ALTER TABLE ONLY public.content
    ADD CONSTRAINT content_pkey PRIMARY KEY (request);
ALTER TABLE ONLY public.entry
    ADD CONSTRAINT entry_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.erasure
    ADD CONSTRAINT erasure_pkey PRIMARY KEY (number);
ALTER TABLE ONLY public.holder
    ADD CONSTRAINT holder_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.hub_process
    ADD CONSTRAINT hub_process_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.legal_hold
    ADD CONSTRAINT legal_hold_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.person
    ADD CONSTRAINT person_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.person_role
    ADD CONSTRAINT person_role_pkey PRIMARY KEY (person, role, scope);
ALTER TABLE ONLY public.price
    ADD CONSTRAINT price_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.reservation
    ADD CONSTRAINT reservation_pkey PRIMARY KEY (request);
ALTER TABLE ONLY public.schema_version
    ADD CONSTRAINT schema_version_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.secret
    ADD CONSTRAINT secret_hash_key UNIQUE (hash);
ALTER TABLE ONLY public.secret
    ADD CONSTRAINT secret_pkey PRIMARY KEY (id);
CREATE INDEX budget_holder ON public.budget USING btree (holder);
CREATE INDEX content_age ON public.content USING btree (project, at_ns) WHERE (ended_ns IS NULL);
CREATE INDEX content_client ON public.content USING btree (client_id);
CREATE INDEX content_subject ON public.content USING btree (subject) WHERE (ended_ns IS NULL);
CREATE INDEX entry_at ON public.entry USING btree (at_ns);
CREATE INDEX holder_parent ON public.holder USING btree (parent);
CREATE INDEX legal_hold_subject ON public.legal_hold USING btree (subject);
ALTER TABLE ONLY public.budget
    ADD CONSTRAINT budget_holder_fkey FOREIGN KEY (holder) REFERENCES public.holder(id);
ALTER TABLE ONLY public.budget_window
    ADD CONSTRAINT budget_window_budget_fkey FOREIGN KEY (budget) REFERENCES public.budget(id);
ALTER TABLE ONLY public.person_role
    ADD CONSTRAINT person_role_person_fkey FOREIGN KEY (person) REFERENCES public.person(id);
