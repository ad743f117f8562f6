//! What people leave in home folders. A boot does not look there: /home may wait for the network.

use super::super::Detect;
use super::super::item::{FirstBoot, Item, Renewer, Renewers, Seal, Severity};
use super::{POLICY, SWEPT};

const UNSOUGHT: Item = Item { first_boot: FirstBoot::Silent, ..POLICY };

pub(super) const ITEMS: &[Item] = &[
    Item {
        name: "user-ssh-keys",
        title: "private SSH keys of users",
        danger: "whoever has one clone enters everywhere that the key opens",
        paths: &["root/.ssh/*", "home/*/.ssh/*"],
        detect: Detect::PrivateKey,
        source: "ssh(1): FILES; guestfs-tools:sysprep/sysprep_operation_ssh_userdir.ml",
        ..UNSOUGHT
    },
    Item {
        name: "authorized-keys",
        title: "keys that may log in",
        danger: "the builder's key, or a build tool's throw-away one, opens every clone",
        paths: &[
            "root/.ssh/authorized_keys",
            "root/.ssh/authorized_keys2",
            "home/*/.ssh/authorized_keys",
            "home/*/.ssh/authorized_keys2",
            "var/lib/*/.ssh/authorized_keys",
            "var/lib/*/.ssh/authorized_keys2",
            "etc/ssh/authorized_keys.d/*",
        ],
        detect: Detect::NonEmpty,
        seal: Seal::Leave,
        severity: Severity::Warn,
        source: "sshd(8): AUTHORIZED_KEYS FILE FORMAT; sshd_config(5): AuthorizedKeysFile",
        ..UNSOUGHT
    },
    Item {
        name: "known-hosts",
        title: "machines that a user knew",
        danger: "tells where the builder went",
        paths: &["root/.ssh/known_hosts*", "home/*/.ssh/known_hosts*"],
        detect: Detect::NonEmpty,
        severity: Severity::Info,
        renewers: Renewers::all(Renewer::Service("ssh"), ""),
        source: "ssh(1): FILES",
        ..SWEPT
    },
    Item {
        name: "user-credentials",
        title: "passwords and tokens of users",
        danger: "every clone has them, and whoever gets one clone",
        paths: &[
            "root/.netrc",
            "root/.pgpass",
            "root/.git-credentials",
            "root/.aws/credentials",
            "root/.docker/config.json",
            "root/.kube/config",
            "root/.gnupg/private-keys-v1.d/*",
            "home/*/.netrc",
            "home/*/.pgpass",
            "home/*/.git-credentials",
            "home/*/.aws/credentials",
            "home/*/.docker/config.json",
            "home/*/.kube/config",
            "home/*/.gnupg/private-keys-v1.d/*",
        ],
        detect: Detect::NonEmpty,
        source: "netrc(5), git-credential-store(1), PostgreSQL: The Password File, gpg-agent(1): FILES",
        ..UNSOUGHT
    },
    Item {
        name: "histories",
        title: "what was typed",
        danger: "commands of the build, passwords among them, go to every clone",
        paths: &[
            "root/.bash_history",
            "root/.zsh_history",
            "root/.python_history",
            "root/.mysql_history",
            "root/.psql_history",
            "root/.lesshst",
            "root/.viminfo",
            "home/*/.bash_history",
            "home/*/.zsh_history",
            "home/*/.python_history",
            "home/*/.mysql_history",
            "home/*/.psql_history",
            "home/*/.lesshst",
            "home/*/.viminfo",
        ],
        detect: Detect::NonEmpty,
        renewers: Renewers::all(Renewer::Nobody, "not needed"),
        source: "guestfs-tools:sysprep/sysprep_operation_bash_history.ml, sysprep_operation_zsh_history.ml",
        ..SWEPT
    },
];
