//! The exit statuses of a program that systemd could not start, see "Process Exit Codes" in systemd.exec(5).

/// The exit statuses with which systemd reports that a step before the program failed.
pub(super) const STEPS: &[(i32, &str, &str)] = &[
    (
        200,
        "CHDIR",
        "the working directory cannot be entered; see `cwd` and the permissions of its folders",
    ),
    (201, "NICE", "the priority cannot be set; see `Nice=`"),
    (202, "FDS", "the file descriptors cannot be passed"),
    (
        203,
        "EXEC",
        "the program cannot be executed; check that it exists, its permissions, and its first line",
    ),
    (204, "MEMORY", "there is not enough memory"),
    (
        205,
        "LIMITS",
        "a resource limit cannot be set; see `Limit…=`",
    ),
    (
        206,
        "OOM_ADJUST",
        "the OOM score cannot be set; see `oom_score_adjust`",
    ),
    (207, "SIGNAL_MASK", "the signal mask cannot be set"),
    (
        208,
        "STDIN",
        "standard input cannot be opened; see `StandardInput=`",
    ),
    (
        209,
        "STDOUT",
        "standard output cannot be opened; see `StandardOutput=` and the permissions of its folder",
    ),
    (
        210,
        "CHROOT",
        "the root directory cannot be entered; see `RootDirectory=`",
    ),
    (
        211,
        "IOPRIO",
        "the I/O priority cannot be set; see `IOSchedulingClass=`",
    ),
    (
        212,
        "TIMERSLACK",
        "the timer slack cannot be set; see `TimerSlackNSec=`",
    ),
    (
        213,
        "SECUREBITS",
        "the secure bits cannot be set; see `SecureBits=`",
    ),
    (
        214,
        "SETSCHEDULER",
        "the CPU scheduler cannot be set; see `CPUSchedulingPolicy=`",
    ),
    (
        215,
        "CPUAFFINITY",
        "the CPU affinity cannot be set; see `CPUAffinity=`",
    ),
    (
        216,
        "GROUP",
        "the group is not known, or cannot be changed to; see `group`",
    ),
    (
        217,
        "USER",
        "the user is not known, or cannot be changed to; see `user`",
    ),
    (
        218,
        "CAPABILITIES",
        "the capabilities cannot be set; see `CapabilityBoundingSet=` and `AmbientCapabilities=`",
    ),
    (219, "CGROUP", "the control group cannot be set up"),
    (220, "SETSID", "a new session cannot be created"),
    (
        221,
        "CONFIRM",
        "the start was not confirmed; see `systemd.confirm_spawn` in systemd(1)",
    ),
    (
        222,
        "STDERR",
        "standard error cannot be opened; see `StandardError=` and the permissions of its folder",
    ),
    (
        224,
        "PAM",
        "the PAM session cannot be opened; see `PAMName=`",
    ),
    (
        225,
        "NETWORK",
        "the network namespace cannot be set up; see `PrivateNetwork=` and `NetworkNamespacePath=`",
    ),
    (
        226,
        "NAMESPACE",
        "the file systems of the sandbox cannot be set up; check that each path in `ReadWritePaths=`, `BindPaths=` and \
         similar directives exists",
    ),
    (227, "NO_NEW_PRIVILEGES", "`NoNewPrivileges=` cannot be set"),
    (
        228,
        "SECCOMP",
        "the system call filter cannot be set; see `SystemCallFilter=`",
    ),
    (
        229,
        "SELINUX_CONTEXT",
        "the SELinux context cannot be set; see `SELinuxContext=`",
    ),
    (
        230,
        "PERSONALITY",
        "the execution domain cannot be set; see `Personality=`",
    ),
    (
        231,
        "APPARMOR",
        "the AppArmor profile cannot be set; see `AppArmorProfile=`",
    ),
    (
        232,
        "ADDRESS_FAMILIES",
        "the address families cannot be restricted; see `RestrictAddressFamilies=`",
    ),
    (
        233,
        "RUNTIME_DIRECTORY",
        "a folder of `RuntimeDirectory=` cannot be created",
    ),
    (235, "CHOWN", "an owner cannot be changed"),
    (
        236,
        "SMACK_PROCESS_LABEL",
        "the SMACK label cannot be set; see `SmackProcessLabel=`",
    ),
    (
        237,
        "KEYRING",
        "the kernel's keyring cannot be set up; see `KeyringMode=`",
    ),
    (
        238,
        "STATE_DIRECTORY",
        "a folder of `StateDirectory=` cannot be created",
    ),
    (
        239,
        "CACHE_DIRECTORY",
        "a folder of `CacheDirectory=` cannot be created",
    ),
    (
        240,
        "LOGS_DIRECTORY",
        "a folder of `LogsDirectory=` cannot be created",
    ),
    (
        241,
        "CONFIGURATION_DIRECTORY",
        "a folder of `ConfigurationDirectory=` cannot be created",
    ),
    (
        242,
        "NUMA_POLICY",
        "the NUMA policy cannot be set; see `NUMAPolicy=` and `NUMAMask=`",
    ),
    (
        243,
        "CREDENTIALS",
        "a credential cannot be read; check that each file in `LoadCredential=` exists",
    ),
];
