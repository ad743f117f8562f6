use super::*;

#[test]
fn files_are_sorted_to_their_key() {
    for (file, name) in [
        ("ssh_host_rsa_key", Some("ssh_host_rsa_key")),
        ("ssh_host_rsa_key.pub", Some("ssh_host_rsa_key")),
        ("ssh_host_rsa_key-cert.pub", Some("ssh_host_rsa_key")),
        ("ssh_host_key", Some("ssh_host_key")),
        ("ssh_host_ed25519_key.pub.old", None),
        ("sshd_config", None),
        ("ssh_host_rsa", None),
    ] {
        assert_eq!(key_name(file), name, "{file}");
    }
}

#[test]
fn torn_keys_are_told_from_foreign_forms() {
    assert_eq!(read_private(b""), Private::Torn);
    assert_eq!(read_private(b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blb"), Private::Torn);
    let foreign = b"-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\n";
    assert_eq!(read_private(foreign), Private::Opaque);
}
