//! What the image's making left behind: leaks and dead weight.

use super::super::item::{FirstBoot, Item, Renewer, Renewers, Seal, Severity};
use super::super::{Detect, Reset};
use super::{POLICY, SWEPT};

const NOT_NEEDED: Renewers = Renewers::all(Renewer::Nobody, "not needed");

pub(super) const ITEMS: &[Item] = &[
    Item {
        name: "installer-traces",
        title: "what the installer wrote down",
        danger: "answers to the installer, password hashes among them",
        paths: &[
            "var/log/installer/*",
            "var/log/anaconda/*",
            "root/anaconda-ks.cfg",
            "root/original-ks.cfg",
            "root/initial-setup-ks.cfg",
        ],
        reset: Reset::RemoveTree,
        renewers: NOT_NEEDED,
        source: "guestfs-tools:sysprep/sysprep_operation_logfiles.ml",
        ..SWEPT
    },
    Item {
        name: "installer-seed",
        title: "cloud-init seed of Ubuntu's installer",
        danger: "the first user of the installation, with its password hash, in every clone",
        paths: &["etc/cloud/cloud.cfg.d/99-installer.cfg"],
        detect: Detect::NonEmpty,
        seal: Seal::Leave,
        first_boot: FirstBoot::Silent,
        severity: Severity::Warn,
        source: "canonical/subiquity:subiquity/models/subiquity.py",
        ..POLICY
    },
    Item {
        name: "account-backups",
        title: "copies of the account files",
        danger: "password hashes that were changed since",
        paths: &["etc/passwd-", "etc/shadow-", "etc/group-", "etc/gshadow-", "etc/subuid-", "etc/subgid-"],
        severity: Severity::Info,
        renewers: Renewers::all(Renewer::Service("passwd"), "with the next change of an account"),
        source: "guestfs-tools:sysprep/sysprep_operation_passwd_backups.ml",
        ..SWEPT
    },
    Item {
        name: "login-records",
        title: "who logged in",
        danger: "the builder's log-ins go to every clone",
        paths: &["var/log/wtmp", "var/log/btmp", "var/log/lastlog"],
        detect: Detect::NonEmpty,
        reset: Reset::Truncate,
        severity: Severity::Info,
        renewers: NOT_NEEDED,
        source: "guestfs-tools:sysprep/sysprep_operation_logfiles.ml; systemd 252: tmpfiles.d/var.conf",
        ..SWEPT
    },
    Item {
        name: "logs",
        title: "logs",
        danger: "the build's log goes to every clone",
        paths: &[
            "var/log/*.log",
            "var/log/*/*.log",
            "var/log/syslog",
            "var/log/messages",
            "var/log/secure",
            "var/log/maillog",
            "var/log/debug",
        ],
        except: &["var/log/installer/*", "var/log/anaconda/*"],
        detect: Detect::NonEmpty,
        reset: Reset::Truncate,
        severity: Severity::Info,
        renewers: NOT_NEEDED,
        source: "guestfs-tools:sysprep/sysprep_operation_logfiles.ml",
        ..SWEPT
    },
    Item {
        name: "mail",
        title: "mail of local users",
        danger: "the golden's mail goes to every clone",
        paths: &["var/mail/*", "var/spool/mail/*"],
        detect: Detect::NonEmpty,
        severity: Severity::Info,
        renewers: NOT_NEEDED,
        source: "guestfs-tools:sysprep/sysprep_operation_mail_spool.ml",
        ..SWEPT
    },
    Item {
        name: "temporary-files",
        title: "temporary files",
        danger: "whatever the build put there, in every clone",
        paths: &["tmp/*", "var/tmp/*"],
        reset: Reset::RemoveTree,
        severity: Severity::Info,
        renewers: NOT_NEEDED,
        source: "file-hierarchy(7); guestfs-tools:sysprep/sysprep_operation_tmp_files.ml",
        ..SWEPT
    },
    Item {
        name: "package-caches",
        title: "downloaded packages and lists of packages",
        danger: "dead weight in every clone",
        paths: &[
            "var/cache/apt/archives/*.deb",
            "var/lib/apt/lists/*",
            "var/cache/dnf/*",
            "var/cache/libdnf5/*",
        ],
        except: &["var/lib/apt/lists/lock", "var/lib/apt/lists/partial", "var/lib/apt/lists/auxfiles"],
        reset: Reset::RemoveTree,
        severity: Severity::Info,
        renewers: NOT_NEEDED,
        source: "apt-get(8): clean; guestfs-tools:sysprep/sysprep_operation_package_manager_cache.ml",
        ..SWEPT
    },
];
