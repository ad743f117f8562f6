//! Private keys, domains, licences. Whether a clone may have them is not for a program to say.

use super::super::Detect;
use super::super::item::{Item, Renewer, Renewers, Seal, Severity};
use super::{HEARSAY, POLICY};

pub(super) const ITEMS: &[Item] = &[
    Item {
        name: "tls-private-keys",
        title: "private TLS keys",
        danger: "whoever has one clone can pose as every other",
        paths: &[
            "etc/ssl/private/*",
            "etc/pki/tls/private/*",
            "etc/letsencrypt/archive/*/privkey*.pem",
            "etc/nginx/ssl/*",
            "etc/apache2/ssl/*",
            "etc/haproxy/certs/*",
        ],
        except: &["etc/ssl/private/ssl-cert-snakeoil.key"],
        detect: Detect::PrivateKey,
        source: "ssl-cert 1.1.3: DEBIAN/postinst (/etc/ssl/private); certbot's documentation: Where are my certificates?",
        ..POLICY
    },
    Item {
        name: "acme-account",
        title: "ACME account of certbot",
        danger: "every clone can issue and revoke the account's certificates",
        paths: &["etc/letsencrypt/accounts/*/*/*/private_key.json"],
        source: "certbot's documentation: /etc/letsencrypt",
        ..POLICY
    },
    Item {
        name: "kerberos-keytab",
        title: "Kerberos keys of the host",
        danger: "the domain's trust is shared, and broken by the first one that changes the password",
        paths: &["etc/krb5.keytab"],
        detect: Detect::NonEmpty,
        renewers: Renewers::all(Renewer::Nobody, "join the domain in the clone"),
        source: "guestfs-tools:sysprep/sysprep_operation_kerberos_hostkeytab.ml",
        ..POLICY
    },
    Item {
        name: "samba-secrets",
        title: "Samba's domain secrets",
        danger: "the domain's trust is shared, and broken by the first one that changes the password",
        paths: &["var/lib/samba/private/secrets.tdb"],
        renewers: Renewers::all(Renewer::Nobody, "join the domain in the clone"),
        source: "guestfs-tools:sysprep/sysprep_operation_samba_db_log.ml",
        // A standalone server has one too, which holds its SID.
        seal: Seal::Leave,
        severity: Severity::Warn,
        ..POLICY
    },
    Item {
        name: "ipa-client",
        title: "membership of an IPA domain",
        danger: "the domain has one host twice",
        paths: &["etc/ipa/default.conf"],
        renewers: Renewers::all(Renewer::Nobody, "ipa-client-install in the clone"),
        source: "guestfs-tools:sysprep/sysprep_operation_ipa_client.ml",
        ..POLICY
    },
    Item {
        name: "sssd-cache",
        title: "SSSD's cache",
        danger: "cached password hashes of people go to every clone",
        paths: &["var/lib/sss/db/*.ldb"],
        seal: Seal::Leave,
        severity: Severity::Warn,
        renewers: Renewers::all(Renewer::Service("sssd"), ""),
        source: "guestfs-tools:sysprep/sysprep_operation_sssd_db_log.ml",
        ..POLICY
    },
    Item {
        name: "sops-age-keys",
        title: "age keys of sops",
        danger: "every clone decrypts every other's secrets",
        paths: &["var/lib/sops-nix/key.txt", "root/.config/sops/age/keys.txt"],
        detect: Detect::NonEmpty,
        source: "Mic92/sops-nix:README.md (sops.age.keyFile); getsops/sops:README.rst",
        ..POLICY
    },
    Item {
        name: "red-hat-subscription",
        title: "Red Hat subscription",
        danger: "the account counts the clones as one system",
        paths: &["etc/pki/consumer/*.pem", "etc/pki/entitlement/*.pem", "etc/sysconfig/rhn/systemid"],
        renewers: Renewers::all(
            Renewer::Nobody,
            "subscription-manager clean before the seal, register in the clone",
        ),
        source: "guestfs-tools:sysprep/sysprep_operation_rh_subscription_manager.ml, sysprep_operation_rhn_systemid.ml",
        ..POLICY
    },
    Item {
        name: "ubuntu-pro",
        title: "Ubuntu Pro token",
        danger: "the contract counts the clones as one machine, and any of them can end it for all",
        paths: &["var/lib/ubuntu-advantage/private/machine-token.json"],
        renewers: Renewers::all(Renewer::Nobody, "pro detach before the seal, pro attach in the clone"),
        source: "canonical/ubuntu-pro-client:uaclient/files/files.py (MachineTokenFile)",
        ..POLICY
    },
    Item {
        name: "apt-credentials",
        title: "passwords of package archives",
        danger: "every clone has them, and whoever gets one clone",
        paths: &["etc/apt/auth.conf", "etc/apt/auth.conf.d/*"],
        detect: Detect::NonEmpty,
        seal: Seal::Leave,
        severity: Severity::Warn,
        source: "apt_auth.conf(5)",
        ..POLICY
    },
    Item {
        name: "inventory-ids",
        title: "serials of snapd and Landscape",
        danger: "inventories count the clones as one",
        paths: &["etc/landscape/client.conf", "var/lib/snapd/state.json"],
        ..HEARSAY
    },
];
