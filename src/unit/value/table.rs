//! The types of directives' values, as `systemd --dump-configuration-items` names them, for directives on which all
//! releases agree.

/// The type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A boolean, or one of these words.
    Boolean(&'static [&'static str]),
    /// A word of this list, or a number in this range.
    Word(&'static [&'static str], Option<(i64, i64)>),
    /// A whole number in this range.
    Number(i64, i64),
    /// Bytes, with a suffix that stands for a power of 1024.
    Size,
    /// Bytes, a share of the host's memory, or `infinity`.
    Memory,
    /// A number of tasks, a share of the largest possible number, or `infinity`.
    Tasks,
    /// A share of one CPU, which may be above 100 %.
    Percentage,
    /// A time span in which plain numbers are seconds.
    Time,
    /// A time span in which plain numbers are nanoseconds.
    Nanoseconds,
    /// Permission bits, octal.
    Mode,
    /// The name or number of a signal.
    Signal,
    /// Numbers and ranges of CPUs or memory nodes.
    Cpus,
    /// A weight, or `idle` for directives that accept it.
    Weight,
    /// The target of a standard stream.
    Output,
    /// A resource limit, or a soft and a hard one, each with this bound.
    Limit(Bound),
}

/// The resource that a limit bounds, which decides what values it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    Bytes,
    Count,
    Time,
    Nice,
}

pub(super) const U32: i64 = 0xffff_ffff;
const I32: i64 = 0x7fff_ffff;

const ACTIONS: &[&str] = &[
    "none",
    "reboot",
    "reboot-force",
    "reboot-immediate",
    "poweroff",
    "poweroff-force",
    "poweroff-immediate",
    "exit",
    "exit-force",
    "soft-reboot",
    "soft-reboot-force",
    "kexec",
    "kexec-force",
    "halt",
    "halt-force",
    "halt-immediate",
];
const JOB_MODES: &[&str] = &[
    "fail",
    "replace",
    "replace-irreversibly",
    "isolate",
    "flush",
    "ignore-dependencies",
    "ignore-requirements",
    "triggering",
    "restart-dependencies",
    "lenient",
];
const LEVELS: &[&str] = &[
    "emerg", "alert", "crit", "err", "warning", "notice", "info", "debug", "none", "null",
];
const FACILITIES: &[&str] = &[
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv",
    "ftp", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];

/// Each type with its directives. A directive has the same type in every section that has it.
pub(super) const TABLE: &[(Kind, &str)] = &[
    (
        Kind::Boolean(&[]),
        "Accept AcceptFileDescriptors AllowIsolate BlockIOAccounting Broadcast CPUAccounting CPUSchedulingResetOnFork \
         CacheDirectoryAccounting CoredumpReceive DefaultDependencies DynamicUser FlushPending FreeBind GuessMainPID \
         IOAccounting IPAccounting IgnoreOnIsolate IgnoreSIGPIPE KeepAlive LockPersonality LogsDirectoryAccounting \
         MemoryAccounting MemoryDenyWriteExecute MemoryZSwapWriteback NoDelay NoNewPrivileges NonBlocking OnFailureIsolate \
         PassCredentials PassFileDescriptorsToExec PassPIDFD PassPacketInfo PassSecurity PermissionsStartOnly PrivateDevices \
         PrivateIPC PrivateMounts PrivateNetwork ProtectClock ProtectKernelLogs ProtectKernelModules ProtectKernelTunables \
         RefuseManualStart RefuseManualStop RemainAfterExit RemoveIPC RemoveOnStop RestrictRealtime RestrictSUIDSGID ReusePort \
         RootDirectoryStartOnly RootEphemeral SELinuxContextFromNet SendSIGHUP SendSIGKILL StateDirectoryAccounting \
         StopWhenUnneeded SurviveFinalKillSignal SyslogLevelPrefix TTYReset TTYVHangup TTYVTDisallocate TasksAccounting \
         Transparent Writable",
    ),
    (Kind::Boolean(&["full", "strict"]), "ProtectSystem"),
    (Kind::Boolean(&["read-only", "tmpfs"]), "ProtectHome"),
    (Kind::Boolean(&["connected", "disconnected"]), "PrivateTmp"),
    (
        Kind::Boolean(&["self", "identity", "full", "managed"]),
        "PrivateUsers",
    ),
    (
        Kind::Boolean(&["private", "strict"]),
        "ProtectControlGroups",
    ),
    (Kind::Boolean(&["restart"]), "RuntimeDirectoryPreserve"),
    (
        Kind::Boolean(&["auto", "skip"]),
        "CPUPressureWatch IOPressureWatch MemoryPressureWatch",
    ),
    (
        Kind::Word(&["control-group", "process", "mixed", "none"], None),
        "KillMode",
    ),
    (
        Kind::Word(&["auto", "closed", "strict"], None),
        "DevicePolicy",
    ),
    (
        Kind::Word(&["none", "realtime", "best-effort", "idle"], Some((0, 8))),
        "IOSchedulingClass",
    ),
    (
        Kind::Word(
            &["other", "batch", "idle", "fifo", "rr", "ext", "deadline"],
            Some((0, I32)),
        ),
        "CPUSchedulingPolicy",
    ),
    (Kind::Word(LEVELS, Some((0, 7))), "SyslogLevel LogLevelMax"),
    (Kind::Word(FACILITIES, Some((0, 127))), "SyslogFacility"),
    (
        Kind::Word(ACTIONS, None),
        "FailureAction JobTimeoutAction StartLimitAction SuccessAction",
    ),
    (
        Kind::Word(JOB_MODES, None),
        "OnFailureJobMode OnSuccessJobMode",
    ),
    (
        Kind::Word(&["terminate", "abort", "kill"], None),
        "TimeoutStartFailureMode TimeoutStopFailureMode",
    ),
    (Kind::Word(&["main", "cgroup"], None), "ExitType"),
    (
        Kind::Word(&["inactive", "inactive-or-failed"], None),
        "CollectMode",
    ),
    (Kind::Word(&["continue", "stop", "kill"], None), "OOMPolicy"),
    (
        Kind::Word(&["auto", "kill", "none"], None),
        "ManagedOOMMemoryPressure ManagedOOMSwap",
    ),
    (
        Kind::Word(&["none", "avoid", "omit"], None),
        "ManagedOOMPreference",
    ),
    (
        Kind::Word(&["inherit", "private", "shared"], None),
        "KeyringMode",
    ),
    (
        Kind::Word(&["noaccess", "invisible", "ptraceable", "default"], None),
        "ProtectProc",
    ),
    (Kind::Word(&["all", "pid"], None), "ProcSubset"),
    (Kind::Word(&["init", "login", "user"], None), "UtmpMode"),
    (
        Kind::Boolean(&["default", "both", "ipv6-only"]),
        "BindIPv6Only",
    ),
    (
        Kind::Word(
            &["low-delay", "throughput", "reliability", "low-cost"],
            Some((0, 255)),
        ),
        "IPTOS",
    ),
    (
        Kind::Word(
            &[
                "default",
                "preferred",
                "bind",
                "interleave",
                "local",
                "preferred-many",
                "weighted-interleave",
            ],
            Some((0, I32)),
        ),
        "NUMAPolicy",
    ),
    (Kind::Number(-20, 19), "Nice"),
    (Kind::Number(-1000, 1000), "OOMScoreAdjust"),
    (Kind::Number(0, 7), "IOSchedulingPriority"),
    (Kind::Number(0, 99), "CPUSchedulingPriority"),
    (
        Kind::Number(0, 255),
        "FailureActionExitStatus SuccessActionExitStatus",
    ),
    (
        Kind::Number(0, U32),
        "Backlog FileDescriptorStoreMax KeepAliveProbes LogRateLimitBurst MaxConnections MaxConnectionsPerSource PollLimitBurst \
         RestartSteps StartLimitBurst TriggerLimitBurst",
    ),
    (Kind::Number(-I32 - 1, U32), "IPTTL Mark Priority"),
    (Kind::Size, "PipeSize ReceiveBuffer SendBuffer"),
    (
        Kind::Memory,
        "DefaultMemoryLow DefaultMemoryMin DefaultStartupMemoryLow MemoryHigh MemoryLimit MemoryLow MemoryMax MemoryMin \
         MemorySwapMax MemoryZSwapMax StartupMemoryHigh StartupMemoryLow StartupMemoryMax StartupMemorySwapMax \
         StartupMemoryZSwapMax",
    ),
    (Kind::Tasks, "TasksMax"),
    (Kind::Percentage, "CPUQuota"),
    (
        Kind::Time,
        "CPUPressureThresholdSec CPUQuotaPeriodSec DeferAcceptSec IOPressureThresholdSec JobRunningTimeoutSec JobTimeoutSec \
         KeepAliveIntervalSec KeepAliveTimeSec LogRateLimitIntervalSec MemoryPressureThresholdSec PollLimitIntervalSec \
         RestartMaxDelaySec RestartRandomizedDelaySec RestartSec RuntimeMaxSec RuntimeRandomizedExtraSec StartLimitInterval \
         StartLimitIntervalSec TimeoutAbortSec TimeoutCleanSec TimeoutSec TimeoutStartSec TimeoutStopSec \
         TriggerLimitIntervalSec WatchdogSec",
    ),
    (Kind::Nanoseconds, "TimerSlackNSec"),
    (
        Kind::Mode,
        "CacheDirectoryMode ConfigurationDirectoryMode DirectoryMode LogsDirectoryMode RuntimeDirectoryMode SocketMode \
         StateDirectoryMode UMask",
    ),
    (
        Kind::Signal,
        "FinalKillSignal KillSignal ReloadSignal RestartKillSignal WatchdogSignal",
    ),
    (
        Kind::Cpus,
        "AllowedCPUs AllowedMemoryNodes CPUAffinity NUMAMask StartupAllowedCPUs StartupAllowedMemoryNodes",
    ),
    (
        Kind::Weight,
        "CPUWeight IOWeight StartupCPUWeight StartupIOWeight",
    ),
    (Kind::Output, "StandardError StandardOutput"),
    (
        Kind::Limit(Bound::Bytes),
        "LimitAS LimitCORE LimitDATA LimitFSIZE LimitMEMLOCK LimitMSGQUEUE LimitRSS LimitSTACK",
    ),
    (
        Kind::Limit(Bound::Count),
        "LimitLOCKS LimitNOFILE LimitNPROC LimitRTPRIO LimitSIGPENDING",
    ),
    (Kind::Limit(Bound::Time), "LimitCPU LimitRTTIME"),
    (Kind::Limit(Bound::Nice), "LimitNICE"),
];
