//! Why the server said no, as a stable code.

/// Of [`Class::Rejected`](super::Class::Rejected).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// A parameter is wrong, or this version does not know it.
    InvalidParameter,
    /// The token is unknown, expired or disabled.
    Unauthenticated,
    /// The VMID is taken.
    Exists,
    /// Not while the guest runs.
    Running,
    /// Only while the guest runs.
    NotRunning,
    /// The guest has `protection`.
    Protected,
    /// The digest is another: somebody else changed the configuration.
    ChangedMeanwhile,
    /// The guest's agent does not answer: booting, absent, or stuck.
    AgentSilent,
    /// The machine has no agent configured.
    AgentAbsent,
    /// The agent answered with an error.
    AgentError,
    /// The agent says that the file is not there.
    NoGuestFile,
    NoStorage,
    /// The storage takes no such content.
    WrongContent,
    /// Disabled, or not mounted.
    StorageOffline,
    /// An archive or a disk that is not there.
    NoVolume,
    NoPool,
    /// The cluster's range of VMIDs is used up.
    NoVmid,
    NoBridge,
    NoNode,
    NoDisk,
    CannotShrink,
    /// Somebody stopped the task.
    Interrupted,
    /// This version has no such call.
    NotImplemented,
    /// An answer that is none, to a read.
    Unreadable,
    /// Something else; the text says what.
    ServerError,
}

impl Code {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidParameter => "proxmox-invalid-parameter",
            Self::Unauthenticated => "proxmox-unauthenticated",
            Self::Exists => "proxmox-exists",
            Self::Running => "proxmox-running",
            Self::NotRunning => "proxmox-not-running",
            Self::Protected => "proxmox-protected",
            Self::ChangedMeanwhile => "proxmox-changed-meanwhile",
            Self::AgentSilent => "proxmox-agent-silent",
            Self::AgentAbsent => "proxmox-agent-absent",
            Self::AgentError => "proxmox-agent-error",
            Self::NoGuestFile => "proxmox-no-guest-file",
            Self::NoStorage => "proxmox-no-storage",
            Self::WrongContent => "proxmox-wrong-content",
            Self::NoPool => "proxmox-no-pool",
            Self::NoVmid => "proxmox-no-vmid",
            Self::StorageOffline => "proxmox-storage-offline",
            Self::NoVolume => "proxmox-no-volume",
            Self::NoBridge => "proxmox-no-bridge",
            Self::NoNode => "proxmox-no-node",
            Self::NoDisk => "proxmox-no-disk",
            Self::CannotShrink => "proxmox-cannot-shrink",
            Self::Interrupted => "proxmox-interrupted",
            Self::NotImplemented => "proxmox-not-implemented",
            Self::Unreadable => "proxmox-unreadable",
            Self::ServerError => "proxmox-server-error",
        }
    }

    pub(super) fn short(self) -> &'static str {
        self.as_str().trim_start_matches("proxmox-")
    }

    pub(super) fn hint(self) -> Option<&'static str> {
        match self {
            Self::Unauthenticated => {
                Some("is the token right, enabled and not expired? `pveum user token list USER`")
            }
            Self::Protected => Some("`protection` is set on the guest: whoever set it has to take it off"),
            Self::ChangedMeanwhile => Some("somebody else changes this guest at the same time"),
            Self::NotImplemented => Some("this version of Proxmox VE does not have the call"),
            Self::NoVmid => Some("`next-id` in the cluster's options sets the range"),
            Self::AgentAbsent => Some("`agent: 1` has to be in the golden's configuration"),
            _ => None,
        }
    }
}
