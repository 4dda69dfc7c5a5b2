/** The kinds of words by which programs say why they end, and what to do about each: a table. */
import type { Ref } from '../../kubectl/kubectl.ts'
import { asRoot, refTo } from './failure.ts'

/** One kind of words. */
export interface Words {
  rule: string
  pattern: RegExp
  /** What the line has to have, too: the words alone may be about something else. */
  beside?: RegExp
  /** A line with this is about something else. */
  unless?: RegExp
  what: string
  /** `secret` says of which Secret it takes a password from, where more is known than that the manifest names it. */
  fix: (where: string, secret?: string) => string
  command?: string
  by?: readonly Ref[]
  /** What it says itself adds nothing. */
  bare?: true
}

const DNS = refTo('Deployment', 'kube-system', 'coredns')

/** What to do about a bus error, said or told by the exit code 135. */
export const busError = (where: string) =>
  `set huge pages off in its configuration or request them (hugepages-2Mi) ${where}; check the disk of the node, too`

/** What to do about instructions that the processor of the node does not have, said or told by the exit code 132. */
export const processorLacks = (where: string) =>
  `use an image built for this processor ${where}, or give the server one with the instructions (a virtual machine: CPU type host)`

/** What only a request to another program has: then it is that one which refuses something. */
const REQUEST =
  /https?:\/\/[^\n]{0,200}permission denied|\b(code|status)( ?code)?[:= ]{1,2}[45]\d\d\b|\bHTTP[ /][\d. ]{0,6}[45]\d\d\b|\bauthenticating\b|\brpc error\b/i

/** A path, or what is done with files. */
const FILE =
  /(^|[\s"'`([=])\.{0,2}\/[\w.-]|\.\w{1,5}['"`]?: |\b(open\w{0,3}|creat\w{0,3}|mkdir|stat|lstat|chmod|chown|chgrp|unlink|rename|touch|cp|mv|rm|ln|cat|tee|tar|exec|writ\w{1,3}|read\w{0,3}|files?|folder|director(y|ies)|socket|device|errno|errcode|os error)\b/i

const NO_ANSWER = 'a service that it needs does not answer'
const whetherItRuns = (where: string) =>
  `see whether that service runs, and whether its address is right ${where}`

const NO_FILE = 'it may not write or read a file'
const mayWrite = (where: string) =>
  `correct the owner of the folder on the volume, or fsGroup and runAsUser in its security context ${where}; of a Secret or ConfigMap also defaultMode`

/**
 * Kinds of words, never those of one program. The first that matches counts: what the system says comes before what
 * programs say of their data, and that before what they say of their configuration.
 */
export const WORDS: readonly Words[] = [
  {
    rule: 'image-wrong-architecture',
    pattern: /exec format error|no match for platform/i,
    what: 'its image is built for another processor than that of the node (exec format error)',
    fix: where => `use an image for the architecture of the node ${where}`,
    command: 'kubectl get nodes -L kubernetes.io/arch',
    bare: true,
  },
  {
    rule: 'node-processor-lacks',
    pattern:
      /illegal instruction|unsupported CPU|microarchitecture|x86-64-v\d|\bCPU (does not|doesn't) support|requires? a (CPU|processor)\b/i,
    what: 'it uses instructions that the processor of the node does not have',
    fix: processorLacks,
  },
  {
    rule: 'node-inotify-limit',
    // Promtail and Alloy say it of their targets: https://github.com/grafana/loki/issues/1153
    pattern:
      /inotify|fsnotify|max_user_(instances|watches)|(file ?target|watcher)\b[^\n]{0,60}: too many open files/i,
    what: 'the node has no inotify instances left: it is a limit of the kernel, not of the pod',
    fix: () => 'raise fs.inotify.max_user_instances (and max_user_watches) on the server, in /etc/sysctl.d',
    command: asRoot('sysctl -w fs.inotify.max_user_instances=1024'),
    bare: true,
  },
  {
    rule: 'node-kernel-module',
    pattern: /need to insmod|can't initialize ip6?tables|\bmodprobe: /i,
    what: 'the kernel of the node lacks a module that it needs',
    fix: () =>
      'load the module on the server (modprobe, and /etc/modules-load.d), or start the server again if its kernel was upgraded',
  },
  {
    rule: 'container-bus-error',
    pattern: /\bbus error\b|\bSIGBUS\b/i,
    what: 'it got memory that is not there: huge pages, or a file on a full or failing disk',
    fix: busError,
  },
  {
    rule: 'node-kernel-setting',
    pattern:
      /\b(vm|net|kernel|fs)\.[a-z_.]{3,60}\b[^\n]{0,60} (too low|increase|must be|should be)|\bsysctl\b/i,
    what: 'a setting of the node’s kernel is too low for it',
    fix: () => 'raise what it names on the server: in /etc/sysctl.d, then `sysctl --system`',
    command: asRoot('sysctl --system'),
  },
  {
    rule: 'container-shared-memory',
    pattern: /(?<!request for a )shared memory segment|\/dev\/shm\b/i,
    what: 'its shared memory (/dev/shm) is full: a container has 64 MiB of it',
    fix: where => `mount an emptyDir with medium Memory at /dev/shm ${where}`,
  },
  {
    rule: 'container-clock-differs',
    pattern:
      /too ?skewed|clock skew|(token|certificate) is not (yet )?valid( yet)?\b[^\n]{0,40}\b(nbf|yet)|used before issued/i,
    what: 'the clock of the server differs from that of a service',
    fix: () => 'have the clock of the server set by NTP',
    command: 'npx tsx scripts/ssh.ts -- timedatectl',
  },
  {
    rule: 'container-script-broken',
    pattern: /\bsh: [^\n]{0,80}syntax error|syntax error near unexpected token|syntax error: unexpected/i,
    what: 'the script in its command cannot be read',
    fix: where => `correct the script in its command or args ${where}`,
  },
  {
    rule: 'container-disk-full',
    pattern:
      /no space left on device|(insufficient|not enough|out of) (disk |storage )?(space|storage)\b|disk quota exceeded|\bENOSPC\b|disk (usage|space) (exceed|low|full)|(flood|disk|high)[- ]?(stage )?[- ]?(disk )?watermark/i,
    what: 'a disk or volume that it writes to is full',
    fix: () => 'make room on the disk of the server, or enlarge the volume',
    command: 'npx tsx scripts/ssh.ts -- df -h',
    bare: true,
  },
  {
    rule: 'container-disk-failing',
    pattern: /input\/output error|\bEIO\b|I\/O error|structure needs cleaning/i,
    what: 'a disk or volume that it uses fails',
    fix: () =>
      'check the disk of the node (`dmesg`, its SMART state) and its file system; restore the data from the last backup if it is damaged',
    command: asRoot('journalctl -k -n 50 --no-pager'),
  },
  {
    rule: 'container-database-read-only',
    pattern: /SQLSTATE[: [(]{0,2}25006|read-only transaction|--read-only option|super-read-only/i,
    what: 'the database that it works with rejects writes: it is a standby, or was set read-only',
    fix: where =>
      `correct the address of the database ${where}: that of the primary; if it is the only one, see why it is read-only (its log)`,
  },
  {
    rule: 'container-database-wraparound',
    pattern: /to avoid wraparound data loss/i,
    what: 'its database accepts no more commands until it is vacuumed (wraparound of transaction ids)',
    fix: () =>
      'end old transactions, prepared ones and replication slots in the database, then run VACUUM in the one that it names; PostgreSQL says how in a HINT of its log',
  },
  {
    // https://github.com/prometheus/prometheus/issues/7397
    rule: 'container-data-damaged',
    pattern: /chunks_head\/\d+: (invalid magic number|unexpected EOF|segment|checksum)/,
    what: 'a file of its newest data is damaged, as after a power failure',
    fix: () =>
      'move the file that it names out of chunks_head (of the volume of its pod): what was in it is read again from the write-ahead log',
  },
  {
    rule: 'container-data-damaged',
    pattern:
      /SQLSTATE[: [(]{0,2}XX00[12]|not a valid data directory|data file [^\n]{0,120} is of a different size/i,
    what: 'the files of its database are damaged, or not complete',
    fix: () =>
      'restore the database from its last backup; where its first start was cut off, start it on an empty volume',
  },
  {
    rule: 'container-binary-log-format',
    pattern: /BINLOG_FORMAT = STATEMENT/,
    what: 'its database logs statements, and the application needs rows to be logged',
    fix: () => 'set binlog_format=ROW in the configuration of the database, then restart it',
  },
  {
    rule: 'container-collation-unknown',
    pattern: /unknown (collation|character set)/i,
    unless: /\[2019\]/,
    what: 'what it loads was written by another database (MySQL 8 and MariaDB name their collations differently)',
    fix: () =>
      'replace the collation in the dump by one that this database has (SHOW COLLATION), as utf8mb4_unicode_ci, and load it again',
  },
  {
    rule: 'container-key-readable',
    pattern: /private key file [^\n]{0,200} has (group or world|liberal) access/i,
    what: 'other users may read the file with its key, so the program refuses the file',
    fix: where =>
      `set defaultMode: 0640 (or 0600 with the user of the program as the owner) of the Secret among the volumes, and fsGroup, ${where}`,
  },
  {
    rule: 'container-own-address',
    pattern: /advertise addr|no private IP/i,
    what: 'it finds no address of its own that it could tell the others',
    fix: where => `set the address that it advertises, as that of the pod (status.podIP), ${where}`,
  },
  {
    rule: 'container-local-address',
    pattern: /cannot assign requested address|\bEADDRNOTAVAIL\b/i,
    what: 'no local port or address is left for a connection',
    fix: where =>
      `widen net.ipv4.ip_local_port_range (a sysctl of the pod or of the node) or have it keep its connections ${where}; where it listens, correct the address`,
  },
  {
    rule: 'container-open-files',
    pattern: /too many open files|\bEMFILE\b/i,
    what: 'it has reached its limit of open files',
    fix: () =>
      'raise the limit of open files: LimitNOFILE of k3s.service, or what the program or its start script sets itself (ulimit -n)',
    command: asRoot('systemctl show k3s -p LimitNOFILE'),
  },
  {
    // https://github.com/valkey-io/valkey/blob/9.0/src/server.c (shared.oomerr)
    rule: 'container-cache-full',
    pattern: /OOM command not allowed when used memory > 'maxmemory'/,
    what: 'the Redis or Valkey that it writes to is full (maxmemory), and removes nothing',
    fix: () =>
      'raise maxmemory of that server, with its memory limit; or, where it is a cache, set its maxmemory-policy to allkeys-lru',
  },
  {
    rule: 'container-process-limit',
    pattern:
      /newosproc|new OS thread|thread_create|max user processes|\bfork: |(unable|failed) to (fork|create .{0,20}thread)/i,
    what: 'it has reached its limit of processes or threads',
    fix: where =>
      `have it start fewer processes ${where}, or raise the limit of the node: pod-max-pids of the kubelet, TasksMax of k3s.service; a containerd that is too old for the image has the same effect`,
  },
  {
    rule: 'container-host-program-missing',
    pattern: /nsenter: failed to execute|make sure you have \S{1,60} installed on the host/i,
    what: 'the server lacks a program that it needs',
    fix: () =>
      'install on the server what it names (iscsiadm: open-iscsi, mount.nfs: nfs-common), and start its service',
  },
  {
    rule: 'container-needs-init',
    pattern: /not been booted with systemd|connect to (system )?bus\b/i,
    what: 'its image needs systemd, which a container does not have',
    fix: where => `use an image that is built for containers, or have it start the program itself ${where}`,
  },
  {
    rule: 'container-files-mixed',
    pattern:
      /call to undefined method|failed opening required|\bclass ['"]?[\w\\]+['"]? not found|NoSuchMethodError|cannot redeclare/i,
    what: 'its own files do not fit together: some are missing, or of another version',
    fix: where =>
      `have the files of the image copied to its volume again, or restore them; update or take out add-ons of another version; see the image ${where}`,
  },
  {
    rule: 'container-library-missing',
    pattern:
      /error (while )?loading shared librar|error relocating|install or update \.NET|GLIBC(XX)?_[\d.]+' not found|invalid locale name|no module named|cannot import name|ModuleNotFoundError|cannot find module|ClassNotFoundException|NoClassDefFoundError|undefined (symbol|function)|UnsupportedClassVersion|GemNotFound|could not (access|load) (file|library|extension|plugin) ["']|please install \w|package installed|(module|extension)\b[^\n]{0,40}\b(not (loaded|installed|enabled)|installed|missing)/i,
    what: 'its image lacks a library, module or locale that the program needs',
    fix: where =>
      `use an image in which it is, or another version of the image ${where}; a module of PHP may only be off, as for the command line`,
  },
  {
    rule: 'container-version-differs',
    pattern:
      /\brequires? (an? )?\w{2,20} version|version\b[^\n]{0,40}\bis not supported by|(compatible with|requires?|needs?) (PHP|Python|Node(\.js)?|Java|Ruby)\b/i,
    what: 'it needs another version of a program or of a service',
    fix: where =>
      `use the version that it names: of its image, or of the service that it works with ${where}`,
  },
  {
    rule: 'container-interpreter-missing',
    pattern: /bad interpreter|\\r'?: no such file|can't execute '|^exec \/\S{1,200}: no such file/i,
    what: 'the program that its script names is not in the image, or the script has Windows line ends',
    fix: where => `write the script with Unix line ends, and with an interpreter that the image has ${where}`,
  },
  {
    rule: 'container-token-missing',
    pattern: /serviceaccount\/token: no such file/i,
    what: 'it finds no token of its ServiceAccount',
    fix: where => `set automountServiceAccountToken: true ${where}, or of the ServiceAccount`,
  },
  {
    rule: 'container-address-invalid',
    pattern:
      /unescaped|\buserinfo\b|invalid URL escape|URI malformed|malformed (uri|url|connection string)|invalid port\b[^\n]{0,60} after host|first path segment in URL|must be an? (valid )?UR[IL]\b|missing (protocol )?scheme|unsupported protocol scheme|invalid (connection string|dsn|ur[il])\b/i,
    what: 'an address that it was given is not one',
    fix: where =>
      `write it with its scheme (https://HOST, postgres://…), and percent-encode characters other than letters and digits in its user and password (@ as %40) ${where}`,
  },
  {
    rule: 'container-address-missing',
    pattern: /\[2002\] No such file|through socket '|\.s\.PGSQL\.\d+" failed: No such file/i,
    what: 'it looks for its database on its own host, as no address of another was given',
    fix: where => `set the address of its database, host and port ${where}`,
  },
  {
    rule: 'container-names-unresolved',
    pattern:
      /lookup \S+ on \S+:53|(could not|can't|cannot|failed to) resolve (the )?(\w{1,20} )?(host|name|address|domain)|bad address '|temporary failure in name resolution|name or service not known|\bEAI_AGAIN\b|\bENOTFOUND\b|no such host|(host|hostname) (is )?(not found|unknown)|unknown host|UnknownHostException|can't find [\w.-]{1,200}: (NXDOMAIN|SERVFAIL)|could not find address for/i,
    what: 'it cannot resolve a name',
    fix: where => `correct the name ${where}; if other names fail too, see coredns`,
    by: [DNS],
  },
  {
    rule: 'container-replica-set-config',
    pattern:
      /No host described in [^\n]{0,80}maps to this node|replica set configuration does not have a valid entry for the current node/i,
    what: 'the configuration of its replica set names other hosts than its own',
    fix: () =>
      'see first whether the host in rs.conf() is resolved in the pod; if that name is gone for good, correct it in mongosh: c=rs.conf(), the host of each member, rs.reconfig(c, {force: true}); or give the pod its former name back',
  },
  {
    rule: 'container-service-unreachable',
    pattern:
      /connection refused|\bECONNREFUSED\b|i\/o timeout|\bETIMEDOUT\b|no route to host|\bEHOSTUNREACH\b|waiting (for|until) [^\n]{0,40}(connection|database|\bhost\b)|\b(not |un)(available|reachable|ready)\b[^\n]{0,40}\b(waiting|retry|try)|has gone away|lost connection to|\bEPIPE\b|connection (was |is )?(closed|killed|terminated) (unexpectedly|by the server)|server closed the connection/i,
    what: NO_ANSWER,
    fix: whetherItRuns,
  },
  {
    rule: 'container-certificate-unusable',
    pattern: /(certificate|private key|keystore)\b[^\n]{0,200}(no such file|\bENOENT\b|file not found)/i,
    what: 'the file with its certificate or key is missing',
    fix: where =>
      `mount the Secret with the certificate and key where it reads them, correct the path, or switch TLS off, ${where}`,
  },
  {
    rule: 'container-certificate-unusable',
    pattern: /key values mismatch|private key does not match|SSL_CTX_use_(PrivateKey|certificate)/i,
    unless: /permission denied/i,
    what: 'its certificate and key do not fit each other, or cannot be read',
    fix: where =>
      `put a certificate and its key, which fit each other, in PEM, where it reads them, ${where}`,
  },
  {
    rule: 'container-certificate-refused',
    pattern:
      /x509: |\btls: (protocol|private key|no cipher|handshake|bad)|ssl (alert|error|handshake)|certificate (verify failed|(has |is )?expired|is not yet valid)|unable to (get local issuer|verify the first) certificate|self[- ]signed certificate|PKIX path|host key (verification failed|mismatch|is unknown)/i,
    what: 'it does not accept the certificate or host key of a service',
    fix: where =>
      `renew the certificate of that service, or give the program its CA or host key (known_hosts) ${where}; a wrong clock of the server has the same effect`,
  },
  {
    rule: 'container-encryption-differs',
    pattern:
      /HTTP response to HTTPS client|does not look like a TLS handshake|(SSL|TLS) is not (enabled|supported)|(SSL|TLS|encryption) (is )?required|requires? (an? )?(SSL|TLS|secure|encrypted)|insecure transport/i,
    what: 'it and a service that it needs do not agree on encryption',
    fix: where =>
      `set sslmode, tls or the scheme of its address to what the service offers ${where}, or enable TLS there`,
  },
  {
    rule: 'container-certificate-unusable',
    pattern:
      /InvalidSSLConfiguration|no (server )?certificate (was )?(specified|configured)|\bPEM (key )?(file|data|block)|(load|read|set up|pars)\w{0,4} [^\n]{0,40}(certificate|private key|key ?pair|keystore)|(certificate|private key|keystore)\b[^\n]{0,40}(cannot|could not|unable to) (be )?(read|load|pars|open)/i,
    unless: /permission denied/i,
    what: 'it cannot use its own certificate or key',
    fix: where =>
      `put a certificate and its key, which fit each other, in PEM, where it reads them, ${where}`,
  },
  {
    rule: 'container-login-method-unknown',
    pattern:
      /authentication (method|protocol|mechanism|plugin)\b[^\n]{0,60}(unknown|unsupported|not supported|cannot be loaded)|not support authentication protocol/i,
    what: 'it does not know the way of logging in that the service asks for',
    fix: where =>
      `use a newer image of it ${where}, or give its user of that service a way of logging in that it knows (ALTER USER … IDENTIFIED WITH)`,
  },
  {
    rule: 'container-rights-refused',
    pattern:
      /permission denied for (schema|table|relation|sequence|database|function|view|type|language|foreign)|must be owner of|command denied to user|is not allowed to connect to this|access denied for user '[^'\n]{1,80}'@'[^'\n]{1,80}' to database|not authorized (on|to)\b/i,
    what: 'the service that it logs in to does not allow that to its user',
    fix: where =>
      `grant its user that right there (in a database: GRANT to the user at any host, or make it the owner; PostgreSQL asks for it on schema public since version 15), or name another user ${where}`,
  },
  {
    rule: 'container-request-refused',
    pattern:
      /\b403\b[^\n]{0,80}(permission|access) ?denied|(permission|access) ?denied\b[^\n]{0,80}\b403\b|(https?:\/\/|\bauthenticating\b|\brpc error\b)[^\n]{0,200}permission ?denied/i,
    what: 'a service refuses its request',
    fix: where =>
      `let that service allow it: bind the ServiceAccount and namespace of the pod to the role by which it logs in there, or grant its account the right; or correct the role, account or serviceAccountName ${where}`,
  },
  {
    rule: 'container-eviction-refused',
    // https://github.com/kubernetes/kubernetes/blob/v1.36.0/pkg/registry/core/pod/storage/eviction.go
    pattern: /more than one PodDisruptionBudget|violate the pod's disruption budget/,
    what: 'pods that it evicts are kept by their PodDisruptionBudgets',
    fix: () =>
      'raise the replicas of those pods or lower minAvailable of their budget; of several budgets that select the same pods, delete all but one',
  },
  {
    rule: 'container-external-names',
    // https://github.com/traefik/traefik/blob/v3.5.0/pkg/provider/kubernetes/ingress/kubernetes.go
    pattern: /externalName services not allowed/,
    what: 'it does not route to Services of type ExternalName unless that is allowed, and answers 404',
    fix: where =>
      `set allowExternalNameServices: true at its provider ${where}, or give that Service a selector and pods`,
  },
  {
    rule: 'container-login-refused',
    pattern:
      /(?<!message )authentication failed|access denied for user|WRONGPASS|without any password configured|no password is set|invalid (username or )?password|bad credentials|\bNOAUTH\b|protected mode|\bunauthorized\b|must be logged in|log ?in (was |has )?(refused|failed)|login incorrect|AuthenticationFailure|no pg_hba\.conf entry|InvalidAccessKeyId|SignatureDoesNotMatch|invalid (api )?(key|token)/i,
    what: 'its password or key is refused',
    fix: (where, secret = 'the Secret is named') =>
      `make the Secret that it takes the password from agree with the service that refuses it; ${secret} ${where}`,
  },
  {
    rule: 'container-rights-missing',
    pattern:
      /is forbidden: User "?[\w:.-]+"? cannot|forbidden: .*cannot (get|list|watch|create|update|patch|delete)/i,
    what: 'its ServiceAccount lacks a right',
    fix: () => 'grant the right by a Role and a RoleBinding of its ServiceAccount',
  },
  {
    rule: 'container-kind-missing',
    pattern:
      /no matches for kind|could not find the requested resource|custom resources? [^\n]{0,80}not found/i,
    what: 'it needs a kind that the API server does not know',
    fix: () =>
      'install the CustomResourceDefinition of this kind, which comes with the program’s chart or manifests',
  },
  {
    rule: 'container-connections-used-up',
    pattern:
      /too many (clients|connections)|(connection|connections) (slots|limit|pool)\b[^\n]{0,40}(reserved|reached|exceeded|exhausted)|acquire (a )?connection/i,
    what: 'the service that it needs takes no more connections',
    fix: where =>
      `raise the limit of that service (max_connections), or have its clients use fewer connections ${where}`,
  },
  {
    rule: 'container-object-missing',
    pattern:
      /NoSuchBucket|no such bucket|(database|role|bucket|topic|queue|index) \S{1,80} (does not|doesn't) exist|unknown database/i,
    what: 'something that it needs in another service does not exist there',
    fix: where => `create it there, or correct its name ${where}`,
  },
  {
    rule: 'container-rows-locked',
    pattern: /lock (wait )?timeout|lock wait|deadlock (found|detected)|could not obtain lock on/i,
    what: 'another session of its database holds a lock on what it needs',
    fix: () =>
      'end that session in the database (pg_stat_activity and pg_terminate_backend, SHOW PROCESSLIST and KILL): mostly a migration, a backup or a console that hangs',
  },
  {
    rule: 'container-locks-unsupported',
    pattern: /no locks available|\bENOLCK\b|lock\w{0,5} [^\n]{0,20}not (implemented|supported)/i,
    what: 'the file system of its volume takes no locks, as NFS without its lock service',
    fix: where =>
      `give it a volume on a disk of the node (storage class local-path) ${where}, or start the lock service of the file server (NFS 4 has it built in)`,
  },
  {
    // Rocket.Chat, apps/meteor/server/lib/migrations.ts
    rule: 'container-migration-locked',
    pattern: /\bControl is locked\b/i,
    what: 'an earlier run was ended while it migrated its database, and has left that locked',
    fix: where =>
      `take a backup, let one pod of it run alone ${where}, and unlock it in its database: in the collection migrations set locked: false of the document control; then it goes on`,
  },
  {
    rule: 'container-data-in-use',
    pattern:
      /another (\S+ )?(instance|process|server)\b[^\n]*(running|initiali[sz]ing|upgrading|migrating)|unable to lock|could not acquire .*\block|lock (DB )?directory|\b(database|control|migration) is locked|\blocked by|resource temporarily unavailable|lock file .*already exists/i,
    what: 'its data is locked: another process still has it, or was killed while it had it',
    fix: where =>
      `see whether a second pod uses the same volume: end that, and set strategy Recreate ${where}; if none does, remove the lock that a killed one has left`,
  },
  {
    rule: 'container-process-left',
    pattern: /already running|\bpid ?file\b[^\n]{0,40}exists/i,
    what: 'it finds the trace of an earlier run of itself',
    fix: where =>
      `remove the pid file that a killed run has left on its volume; better keep that file on an emptyDir ${where}`,
  },
  {
    // postgres, src/bin/pg_dump/pg_backup_db.c
    rule: 'container-client-too-old',
    pattern: /aborting because of server version mismatch|server version [^\n]{1,60}(pg_dump|psql) version/i,
    what: 'its program is older than the database server, and does not read a newer one',
    fix: where => `use an image with the major version of the server ${where}`,
  },
  {
    // https://www.mongodb.com/docs/manual/administration/production-notes/#remote-filesystems--nfs-
    rule: 'container-volume-unfit',
    pattern: /__posix_open_file[^\n]{0,300}Operation not permitted/,
    what: 'its volume is of a file system that its database cannot work on, such as SMB or NFS',
    fix: where =>
      `give it a volume on a disk of the server (class local-path) or on block storage ${where}, and load its data there from a backup`,
  },
  {
    rule: 'container-data-of-other-version',
    pattern:
      /downgrad(e|ing)|(incompatible|not compatible) with|was initialized by|too (old|new) for|is for a (newer|older)|invalid featureCompatibilityVersion|(requires|created by|written by|from) a (newer|later|older|previous) version|upgrad\w{1,5} from \S{1,40} to \S{1,40} is not supported|cannot upgrade from|unsupported (data|schema|database|storage) (format|version)|(data|schema|database) version [^.\n]{0,60}(higher|newer|lower|older)|(created|written|formatted) (with|by) [\w .-]{2,40} \d+\.\d|detected data files in [^\n]{0,80}created by|upgrade after a crash|\bpg_upgrade\b|can(not|'t) (handle|read|load|find)\b[^\n]{0,40}\bversion\b|can(not|'t) locate revision|applied migration not resolved|driver may require|wire version|migration checksum mismatch|migrations? (have|has) failed validation|must be (enabled|upgraded|migrated)\b[^\n]{0,20} before upgrading/i,
    what: 'its data was written by another version of the program',
    fix: where =>
      `use the version of the image that has written the data ${where}, then upgrade one version after the other as the program asks for; else restore a backup that fits`,
  },
  {
    rule: 'container-cluster-unsafe-to-bootstrap',
    // Galera, wsrep_provider: grastate.dat has safe_to_bootstrap: 0 on each node after a power failure.
    pattern: /not (be )?safe to bootstrap/i,
    what: 'no member of its database cluster knows that it has the newest data, as after a power failure',
    fix: where =>
      `find the member with the highest seqno (grastate.dat in each volume; -1: mysqld --wsrep-recover), and bootstrap from that one alone ${where}: safe_to_bootstrap: 1 there, MARIADB_GALERA_FORCE_SAFETOBOOTSTRAP=yes with Bitnami’s image; take it out when all have joined`,
  },
  {
    rule: 'container-data-of-another',
    pattern:
      /\b(id|uuid|identity)\b[^\n]{0,80} (does not|doesn't) match[^\n]{0,30} stored|belongs to (another|a different)|join the wrong cluster|(cluster|system) ?id\w* mismatch/i,
    what: 'the data on its volume belongs to another installation',
    fix: where =>
      `set in its configuration the id that its data has, or give what it works with its former data back ${where}; else copy the volume and remove from it what the message names`,
  },
  {
    rule: 'container-data-encrypted',
    pattern:
      /no suitable key could be found|message authentication failed|(unable|failed|could not|cannot)( to)? decrypt|bad decrypt|secrets?\b[^\n]{0,80} (not set or )?changed/i,
    what: 'its data was encrypted with another secret than the one that it is given',
    fix: where =>
      `bring back the earlier secret ${where}: alone, or after the new one where the program takes several`,
  },
  {
    rule: 'container-replica-behind',
    pattern: /has already been removed|too stale|could not find first log file|binary log [^\n]{0,60}purged/i,
    what: 'it is a copy, and too far behind to catch up',
    fix: where =>
      `have it copy everything again: empty its own volume, never that of the first, and restart it; have the first keep more of its log (wal_keep_size or a slot, the oplog) ${where}`,
  },
  {
    rule: 'container-data-damaged',
    pattern:
      /\bcorrupt|malformed|checksum (mismatch|error|failed)|invalid magic|bad (file format|magic)|recovery failed|valid checkpoint record|invalid (page|block|segment)|crash recovery|already freed|freelist|truncated (file|record)|short read|EOF reading|not sequential/i,
    what: 'its data is damaged, as after a full disk or a power failure',
    fix: () =>
      'copy the volume first; then repair the data by the tool that it names, or restore it from the last backup',
  },
  {
    rule: 'container-folder-not-empty',
    pattern: /exists but is not empty|has files in it|directory (\S{1,80} )?(is )?not empty|lost\+found/i,
    what: 'it needs an empty folder for its data, and the volume holds something',
    fix: where =>
      `give it a folder of its own below the mount (subPath, or its setting for the data folder such as PGDATA) ${where}; check first whether the files in it are data`,
  },
  {
    rule: 'container-replica-set-missing',
    pattern:
      /only (supported|allowed) on (a )?replica set|not (a |running as a )?replica ?set|NotYetInitialized|no replset config/i,
    what: 'the database does not run as a replica set, which it needs',
    fix: where => `have the database run as a replica set, and name that in its address ${where}`,
  },
  {
    rule: 'container-no-primary',
    pattern:
      /ReplicaSetNoPrimary|NotWritablePrimary|\bno (primary|leader)\b|\bnot (the )?(primary|leader)\b|read only replica|replica set config is invalid|(no|lost|without) quorum|primary view|\bnon.?prim(ary)?\b|prim not possible/i,
    what: 'the database that it needs has no member that takes writes',
    fix: where =>
      `see why it has no primary: its pods have to run, and to reach each other under the names in their replica set (rs.status()); after a change of names initiate or reconfigure it; where all of them were stopped, bootstrap it from the one with the latest data (Galera); or correct the address ${where}`,
  },
  {
    rule: 'container-service-variable',
    pattern: /tcp:\/\/\d{1,3}(\.\d{1,3}){3}:\d{1,5}/,
    what: 'it takes a variable that Kubernetes sets for a Service (NAME_PORT) for its own setting',
    fix: where => `set enableServiceLinks: false ${where}, set its port explicitly, or rename that Service`,
  },
  {
    rule: 'container-port-taken',
    pattern: /address (already )?in use|\bEADDRINUSE\b/i,
    what: 'the port that it listens on is in use already',
    fix: where => `correct the port ${where}: two containers of a pod cannot listen on the same port`,
  },
  {
    rule: 'container-port-privileged',
    pattern: /(listen|bind)\b[^\n]*(permission denied|\bEACCES\b)/i,
    what: 'it may not listen on a port below 1024',
    fix: where => `let it listen on a port from 1024 on, or add the capability NET_BIND_SERVICE ${where}`,
  },
  {
    rule: 'container-read-only',
    pattern: /read-?only (file ?system|database)|\bEROFS\b/i,
    what: 'it writes where nothing may be written',
    fix: where =>
      `mount a volume (an emptyDir) where it writes, and see its owner, or omit readOnlyRootFilesystem and readOnly ${where}; if the volume has become read-only by itself, check its disk`,
  },
  {
    rule: 'container-user-refused',
    pattern:
      /\b(as|run as|than|by|the) "?root"?\b[^\n]{0,40}(not|refus|insecure|forbidden)|(not|n't|never|refus\w{1,4} to) (be )?(run|start|execut)\w{0,4} (this \w{1,20} )?(as|by|under) "?root|"root" execution|unprivileged user|must (be )?(run|start)\w{0,4} as (user )?\S|(executed|run) (with|as|by) the (same )?user (that|who|which) owns|you must be root|\brun \w{2,20} as root/i,
    what: 'it does not run as this user',
    fix: where =>
      `set runAsUser and runAsGroup in its security context ${where}: another user than root, or the one that it names`,
  },
  {
    rule: 'container-privilege-missing',
    pattern:
      /no new privileges|'nosuid' option|(set (groups|uid|gid)|set(e?[ug]id|groups)\w{0,3})[^\n]{0,40}operation not permitted|\bCAP_[A-Z_]{3,30}\b|\bcapabilit(y|ies)\b[^\n]{0,60}(missing|required|needed|not (set|granted|available))/i,
    what: 'it uses a privilege that its security context does not give it',
    fix: where =>
      `use an image that does without it (no sudo), or add what it needs in its security context ${where}: allowPrivilegeEscalation: true, or the capability that it names`,
  },
  {
    rule: 'container-migration-pending',
    pattern:
      /migrations? (are|is) pending|pending ?migration|(run|execute) [^\n]{0,60}migrat|(relation|table) \S{1,80} (does not|doesn't) exist|no such table|\bns not found\b/i,
    what: 'its database was not migrated to this version of the program',
    fix: where =>
      `run its migrations: see whether their Job or init container has failed, or is switched off ${where}; where its first start was cut off, restore a backup or start on an empty volume`,
  },
  {
    rule: 'container-migration-failed',
    pattern:
      /migration (has )?failed|(could not|unable to|failed to) (apply|run|execute) (the )?(\w{1,20} )?migration/i,
    what: 'a migration of its database has failed',
    fix: where =>
      `restore the database as it was before the upgrade, or repair in it what the message names; then start this version of the image again ${where}`,
  },
  {
    rule: 'container-rows-conflict',
    pattern:
      /constraint\b[^\n]{0,120}\b(is violated|fails|failed)|violates (not-null|foreign key|unique|check|exclusion) constraint|duplicate (key value|entry)|\bE11000\b/i,
    what: 'rows of its database do not fit what it does with them',
    fix: where =>
      `back up the database, then correct or delete in it the rows that the message names, and start it again; else go back to the version before ${where}`,
  },
  {
    rule: 'container-permission-denied',
    pattern:
      /unable to open database file|\bEACCES\b|operation not permitted|unable to create (\w{1,20} )?director|wrong ownership|\btoo open\b|invalid permissions|\b(file|folder|directory|drive|disk)\b[^\n]{0,40} access denied|not writable|read-only directory|\bownership\b|can(not|'t|not be) (write|open|chown|mkdir|created?( \w{1,20}){0,2} (file|folder|director|socket|path|log|['"`/]))/i,
    what: NO_FILE,
    fix: mayWrite,
  },
  {
    rule: 'container-permission-denied',
    pattern: /permission denied/i,
    beside: FILE,
    unless: REQUEST,
    what: NO_FILE,
    fix: mayWrite,
  },
  {
    rule: 'container-setting-missing',
    pattern:
      /((environment|env) ?var(iable)?|setting|option)\b[^\n]*\b(missing|required|not set|undefined|not found)|\b[A-Z][A-Z0-9_]{2,} (is |must be )?(not set|required|missing|undefined|set)|\b[a-z]\w{1,30}\.\w{2,30} is (required|missing|not set)|missing (required )?(environment|env|setting|config)|\b(mkdir|open|stat|chdir) ?: no such file|NoCredentialProviders|[Nn]o (valid )?(credentials?|credential providers?)\b|([Uu]nable to|[Cc]ould not|[Cc]annot) (locate|find|load) [\w ]{0,20}credentials\b|\b[Mm]issing [`'"]\w[\w.-]{1,40}[`'"] for\b|[Pp]lease (configure|specify|provide) (one|a|an|the)\b|IMDS role|\b(set|provide|define) [A-Z][A-Z0-9]*_[A-Z0-9_]+\b|\bno [\w .-]{2,40} (was )?(provided|given|specified|configured)\b|^KeyError: ["'][A-Z][A-Z0-9_]+["']|(configuration|config)\b[^\n]{0,40}\b(missing|required|not set|undefined)|\brequired (propert|field|value|key|setting)\w{1,4} [^\n]{0,10}missing/,
    what: 'a setting is missing',
    fix: where => `set what it names ${where}`,
  },
  {
    rule: 'container-file-missing',
    pattern:
      /no such file or directory|\bENOENT\b|\bis a directory\b|\bEISDIR\b|file (does not exist|not found)|FileNotFoundError/i,
    what: 'a file is missing that it needs',
    fix: where =>
      `mount the file, or correct its path ${where}: a ConfigMap or Secret may lack the key, or be mounted over the folder that it is in`,
  },
  {
    rule: 'container-setting-invalid',
    pattern:
      /(?<!\.)(yaml|toml|json|xml): |\b(unmarshal|pars|syntax|decod|load|read|validat)\w{0,8} (error|failed)|(error|failed|cannot|unable|could not)( to)? (pars|decod|unmarshal|load|read|validat|instantiat)|(unknown|unrecognized|invalid|unexpected) (\w{1,30} )?(flag|option|argument|field|directive|attribute|key|value|setting|property|parameter|variable|config)|bad directive|provision(ing)? error|field \S{1,100} not found|field not found|flag provided but not defined|already (registered|defined)|\bmust be (>=?|<=?|at least|at most|one of|between)|insufficient parameter|lower setting|(larger|greater|smaller|less|higher|lower) (value )?than the (max|min)|\b(variable|setting|option)\b[^\n]{0,60}\b(needs to|must|has to) (contain|start|end|match)|invalid configuration|configuration contains|config(uration)? is invalid|config(uration)?( file)? error/i,
    what: 'its configuration is not valid',
    fix: where =>
      `correct the setting that it names ${where}; a newer version may have dropped or renamed it`,
  },
  {
    rule: 'container-out-of-memory',
    pattern:
      /OutOfMemoryError|heap out of memory|cannot allocate memory|out of memory|memory (size )?(of \d+ bytes )?exhausted|\bbad_alloc\b|reserve enough space for/i,
    what: 'it does not have enough memory',
    fix: where => `raise its memory limit ${where}, or the limit that the program sets itself`,
  },
  {
    rule: 'container-service-unreachable',
    pattern:
      /connection timed out|connection reset|(can(no|')t|could not|unable to|failed to|error while) (connect|contact)|timed out waiting for a\b|no available connection|(all|no) (host|server|node|broker|peer)s?\b[^\n]{0,30}(tried|available|reachable|down)|no (servers|reachable servers)|(was|were|is)n['’]t able to connect|deadline exceeded|leader election lost/i,
    what: NO_ANSWER,
    fix: whetherItRuns,
  },
  {
    rule: 'container-defect',
    pattern: /^panic: |nil pointer dereference|segmentation fault|assertion failed|SIGSEGV|stack overflow/i,
    what: 'the program itself has a defect',
    fix: where => `use another version of the image ${where}, and report the panic to its authors`,
  },
]
