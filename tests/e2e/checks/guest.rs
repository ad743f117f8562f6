//! What a guest holds that the checks look at: units, files, mounts, accounts, and servers in its network.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::symlink;
use std::path::Path;

use firstlight_tests::guest::Leader;
use firstlight_tests::run;

/// Of the password `debian`: yescrypt, and MD5, which the agent cannot verify. By crypt(3) of libxcrypt.
const SHADOW: &str = "demo:$y$j9T$F5Jx5fExrKuPp53xLKQ..1$XqXU4ntqeK4HFbYETCsg/QROC5nX8XBgfOVq4zA.Lq1:0:0:99999:7:::\n\
    legacy:$1$saltsalt$sBcryli67u/ZPqdkUb7320:19000:0:99999:7:::\n";

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn unit(root: &Path, name: &str, text: &str) {
    write(root, &format!("etc/systemd/system/{name}"), text);
}

fn want(root: &Path, name: &str, unit: &str) {
    let wants = root.join("etc/systemd/system/multi-user.target.wants");
    fs::create_dir_all(&wants).unwrap();
    symlink(format!("/etc/systemd/system/{unit}"), wants.join(name)).unwrap();
}

/// Gives the root what is looked at.
pub(super) fn furnish(root: &Path) {
    unit(root, "broken.service", "[Service]\nType=oneshot\nExecStart=/bin/false\n");
    unit(root, "worker@.service", "[Service]\nExecStart=/bin/sleep infinity\n");
    unit(root, "data.mount", "[Mount]\nWhat=tmpfs\nWhere=/data\nType=tmpfs\nOptions=size=64M\n");
    unit(root, "readonly.mount", "[Mount]\nWhat=tmpfs\nWhere=/readonly\nType=tmpfs\nOptions=ro,size=1M\n");
    let server =
        "/usr/bin/openssl s_server -accept 127.0.0.1:4433 -cert /etc/leaf.pem -key /etc/leaf.key -www -quiet";
    unit(root, "leaf.service", &format!("[Service]\nExecStart={server}\n"));
    for name in ["broken.service", "data.mount", "readonly.mount", "leaf.service"] {
        want(root, name, name);
    }
    for number in 1..=2 {
        want(root, &format!("worker@{number}.service"), "worker@.service");
    }
    let mut make = run::command(["chroot"]);
    make.arg(root).args([
        "/usr/bin/openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
    ]);
    make.args([
        "-nodes",
        "-keyout",
        "/etc/leaf.key",
        "-out",
        "/etc/leaf.pem",
        "-subj",
        "/CN=leaf",
        "-days",
        "2",
    ]);
    run::must(&mut make).unwrap();

    fs::create_dir_all(root.join("nix/store/abc-system")).unwrap();
    symlink("/nix/store/abc-system", root.join("opt/current-system")).unwrap();
    symlink("/nix/store/gone-system", root.join("opt/dangling-system")).unwrap();
    write(root, "etc/abc", "abc");
    write(root, "usr/lib/firstlight/golden.json", "{\"hostnames\":[\"checked\"]}");
    write(root, "etc/hosts", "127.0.0.1 localhost\n10.77.9.9 listed\n");
    let shadow = root.join("etc/shadow");
    let accounts = fs::read_to_string(&shadow).unwrap();
    fs::write(&shadow, format!("{accounts}{SHADOW}")).unwrap();
}

/// The pin of the guest's certificate, by OpenSSL.
pub(super) fn pin(root: &Path) -> String {
    let script = "openssl x509 -in /etc/leaf.pem -noout -pubkey | openssl pkey -pubin -outform der | \
        openssl dgst -sha256 -binary | openssl base64 -A";
    format!(
        "sha256//{}",
        run::must(run::command(["chroot"]).arg(root).args(["/bin/sh", "-c", script])).unwrap()
    )
}

/// The fingerprint of the guest's certificate, by OpenSSL.
pub(super) fn fingerprint(root: &Path) -> String {
    let mut ask = run::command(["chroot"]);
    ask.arg(root).args([
        "/usr/bin/openssl",
        "x509",
        "-in",
        "/etc/leaf.pem",
        "-noout",
        "-fingerprint",
        "-sha256",
    ]);
    run::must(&mut ask).unwrap().trim().rsplit_once('=').unwrap().1.to_owned()
}

/// Answers in the guest's network until the test ends: HTTP on 127.0.0.1:8080, names on 127.0.0.54:53.
pub(super) fn serve(guest: Leader) {
    // systemd-nspawn put the host's own there before the guest's first process ran.
    let names = "printf 'nameserver 127.0.0.54\\nsearch example\\n' > /etc/resolv.conf";
    let ran = guest.run(&["/bin/sh", "-c", names]).unwrap();
    assert!(ran.ok(), "{}", ran.said());
    // A socket stays in the network in which it was made; its thread need not.
    let sockets = std::thread::spawn(move || {
        let network = File::open(format!("/proc/{}/ns/net", guest.0)).unwrap();
        nix::sched::setns(network, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        (TcpListener::bind("127.0.0.1:8080").unwrap(), UdpSocket::bind("127.0.0.54:53").unwrap())
    });
    let (web, names) = sockets.join().unwrap();
    std::thread::spawn(move || {
        for mut stream in web.incoming().flatten() {
            let mut request = [0; 2048];
            let count = stream.read(&mut request).unwrap_or(0);
            let found = request[..count].starts_with(b"GET /health HTTP/1.1\r\n");
            let (status, body) = if found { ("200 OK", "all is well") } else { ("404 Not Found", "") };
            let _ = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        }
    });
    std::thread::spawn(move || {
        let mut question = [0; 512];
        while let Ok((count, from)) = names.recv_from(&mut question) {
            let _ = names.send_to(&answer(&question[..count]), from);
        }
    });
}

/// `db.example` is 10.77.9.7; no other name is known. Source: RFC 1035, 4.1.
fn answer(question: &[u8]) -> Vec<u8> {
    let known = question[12..].starts_with(b"\x02db\x07example\x00\x00\x01");
    let mut answer = question.to_vec();
    answer[2..8].copy_from_slice(if known { b"\x81\x80\0\x01\0\x01" } else { b"\x81\x83\0\x01\0\0" });
    answer[8..12].fill(0);
    if known {
        answer.extend(b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\x4d\x09\x07");
    }
    answer
}
