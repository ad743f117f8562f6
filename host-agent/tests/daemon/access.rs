//! Every role, every method, every listener.

use crate::client::{Proof, over_tls};
use crate::rig::{OPERATOR, READER, Rig};

const LOOK: &str = "/v1/jobs";
/// Of a job that is not there: whoever is let in hears 404, and nothing is done.
const ACT: &str = "/v1/jobs/nothing/cancel";

#[tokio::test]
async fn over_tls_readers_look_operators_act_and_nobody_else_comes_in() {
    let rig = Rig::new("");
    let companion = rig.start().await;
    let (anna, ben, carl) =
        (rig.authority.sign("anna"), rig.authority.sign("ben"), rig.authority.sign("carl"));
    let bearer = |token| Proof { bearer: Some(token), ..Proof::default() };
    let shown = |pair| Proof { certificate: Some(pair), ..Proof::default() };
    let both = |token, pair| Proof { bearer: Some(token), certificate: Some(pair), from: 1 };
    let mut from = 1;
    // Status of looking and acting.
    for (who, proof, look, act) in [
        ("nobody", Proof::default(), 401, 401),
        ("a wrong token", bearer("a-token-that-nobody-knows"), 401, 401),
        ("the reader's token", bearer(READER), 200, 403),
        ("the operator's token", bearer(OPERATOR), 200, 415),
        ("anna's certificate", shown(&anna), 200, 415),
        ("ben's certificate", shown(&ben), 200, 403),
        ("a certificate of no role", shown(&carl), 401, 401),
        ("anna with a wrong token", both("a-token-that-nobody-knows", &anna), 401, 401),
        ("carl with the reader's token", both(READER, &carl), 200, 403),
    ] {
        for (method, path, status) in [
            ("GET", LOOK, look),
            ("HEAD", LOOK, look),
            ("GET", "/metrics", look),
            ("POST", ACT, act),
            ("GET", "/livez", 200),
            ("POST", "/livez", if act == 415 { 405 } else { act }),
        ] {
            from += 1;
            let answer = rig.tls(Proof { from, ..proof }, method, path).await;
            // A body that is no JSON is refused behind the gate.
            let passed = matches!(answer.status, 400 | 404 | 415 | 422);
            let as_wanted = answer.status == status || (status == 415 && passed);
            assert!(as_wanted, "{who}: {method} {path}: {answer:?}, not {status}");
            let code = match answer.status {
                401 => "not-authenticated",
                403 => "read-only",
                _ => continue,
            };
            assert!(method == "HEAD" || answer.code() == code, "{who}: {method} {path}: {answer:?}");
            assert_eq!(answer.head.contains("www-authenticate: Bearer"), answer.status == 401);
        }
    }
    companion.stop().await;
}

#[tokio::test]
async fn a_certificate_of_another_authority_does_not_even_shake_hands() {
    let rig = Rig::new("");
    let companion = rig.start().await;
    let stranger = crate::certificates::Authority::new().sign("anna");
    let proof = Proof { bearer: Some(OPERATOR), certificate: Some(&stranger), from: 1 };
    let refused = over_tls(rig.api, &rig.authority.pem(), proof, "GET", LOOK).await;
    assert!(refused.is_err(), "{refused:?}");
    companion.stop().await;
}

#[tokio::test]
async fn the_report_listener_can_do_nothing_but_take_reports() {
    let rig = Rig::new("");
    let companion = rig.start().await;
    let mut plain = tokio::net::TcpStream::connect(rig.reports).await.unwrap();
    assert!(
        crate::client::exchange(&mut plain, "GET", LOOK, "").await.is_err(),
        "without TLS nothing is said"
    );
    for path in [LOOK, "/metrics", "/livez", "/v1/status", ACT] {
        let answer = crate::peer::to_reports(rig.reports, "GET", path).await;
        assert_eq!((answer.status, answer.code().as_str()), (404, "not-found"), "{path}");
    }
    companion.stop().await;
}

#[tokio::test]
async fn an_address_has_its_share_of_report_connections_and_others_have_theirs() {
    use tokio::io::AsyncReadExt as _;

    let rig = Rig::new("");
    let companion = rig.start().await;
    let connect = async |last: u8| {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, last], 0).into()).unwrap();
        socket.connect(rig.reports).await.unwrap()
    };
    // Whoever is let in is not answered before it speaks.
    let is_closed = async |stream: &mut tokio::net::TcpStream| {
        let mut byte = [0];
        let read = tokio::time::timeout(std::time::Duration::from_millis(500), stream.read(&mut byte));
        matches!(read.await, Ok(Ok(0) | Err(_)))
    };
    let mut eight = Vec::new();
    for _ in 0..8 {
        eight.push(connect(7).await);
    }
    assert!(is_closed(&mut connect(7).await).await, "the ninth of one address");
    assert!(!is_closed(&mut connect(8).await).await, "the first of another");
    assert!(!is_closed(&mut eight[7]).await);
    drop(eight.pop());
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert!(!is_closed(&mut connect(7).await).await, "a place was given back");
    companion.stop().await;
}

#[tokio::test]
async fn each_failure_makes_its_address_wait_longer_and_others_do_not_wait() {
    let rig = Rig::new("");
    let companion = rig.start().await;
    let mut waits = Vec::new();
    for _ in 0..3 {
        let began = std::time::Instant::now();
        assert_eq!(rig.tls(Proof::default(), "GET", LOOK).await.status, 401);
        waits.push(began.elapsed().as_millis());
    }
    assert!(waits[0] >= 200 && waits[1] >= 400 && waits[2] >= 800, "{waits:?}");
    let began = std::time::Instant::now();
    assert_eq!(rig.tls(Proof { bearer: Some(READER), ..Proof::default() }, "GET", LOOK).await.status, 200);
    assert!(began.elapsed().as_millis() < 800, "who is known does not wait");
    let metrics = rig.socket("GET", "/metrics").await.body;
    assert!(metrics.contains("firstlight_api_denied_total 3"), "{metrics}");
    companion.stop().await;
}

#[tokio::test]
async fn the_api_speaks_tls_1_2_and_1_3() {
    let rig = Rig::new("");
    let companion = rig.start().await;
    let looked = format!("Authorization: Bearer {READER}\r\n");
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let (versions, authority) = ([version], rig.authority.pem());
        let mut stream = crate::client::connect_over(&versions, rig.api, &authority).await.unwrap();
        assert_eq!(stream.get_ref().1.protocol_version(), Some(version.version));
        let answer = crate::client::exchange(&mut stream, "GET", LOOK, &looked).await.unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    companion.stop().await;
}

#[tokio::test]
async fn what_is_too_large_is_turned_away() {
    let rig = Rig::new("");
    let companion = rig.start().await;
    let pem = rig.authority.pem();
    let long = format!("X-Long: {}\r\nAuthorization: Bearer {OPERATOR}\r\n", "x".repeat(80_000));
    let mut stream = crate::client::connect(rig.api, &pem).await.unwrap();
    let answer = crate::client::exchange(&mut stream, "GET", LOOK, &long).await;
    assert!(answer.is_err() || answer.unwrap().status == 431);

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = crate::client::connect(rig.api, &pem).await.unwrap();
    let head = format!(
        "POST /v1/up HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {OPERATOR}\r\nContent-Type: application/json\r\nContent-Length: 9000000\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = vec![b' '; 65536];
    let (mut read, mut write) = tokio::io::split(stream);
    let sending = tokio::spawn(async move { while write.write_all(&chunk).await.is_ok() {} });
    let mut answer = vec![0; 512];
    let count = read.read(&mut answer).await.unwrap();
    assert!(
        String::from_utf8_lossy(&answer[..count]).contains(" 413 "),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    sending.abort();
    companion.stop().await;
}
