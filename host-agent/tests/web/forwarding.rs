//! Pages without TLS: by way of the program, on 127.0.0.1.

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::browser::{between, header};
use crate::client::Answer;
use crate::html;
use crate::rig::Rig;

async fn ask(host: &str, head: &str, body: &str) -> Answer {
    let mut stream = TcpStream::connect(host).await.unwrap();
    let length = body.len();
    let request = format!(
        "{head}Connection: close\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_passes_pages_on_and_lends_nobody_its_rights() {
    let mut rig = Rig::serving().await;
    let mut child = rig.command(&["web", "open"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let url = lines.next_line().await.unwrap().unwrap();
    let host = between(&url, "http://", "/").to_owned();
    assert!(host.starts_with("127.0.0.1:"), "{url}");
    let path = url.strip_prefix(&format!("http://{host}")).unwrap();
    let get = |path: &str, more: &str| format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{more}");

    let stranger = ask(&host, &get("/ui/", ""), "").await;
    assert_eq!(
        (stranger.status, header(&stranger, "location")),
        (303, "/ui/sign-in?next=%2Fui%2F".to_owned())
    );
    for path in ["/v1/jobs", "/v1/web/links", "/metrics"] {
        assert_eq!(ask(&host, &get(path, ""), "").await.status, 404, "{path}");
    }
    let rebound = ask(&host, "GET /ui/sign-in HTTP/1.1\r\nHost: evil.example\r\n", "").await;
    assert_eq!(rebound.status, 421);

    let page = ask(&host, &get(path, ""), "").await;
    html::hold(path, &page);
    let post = format!("POST /ui/enter HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\n");
    let entered = ask(&host, &post, &format!("code={}", between(path, "code=", "&"))).await;
    assert_eq!(entered.status, 303, "{entered:?}");
    let cookie = header(&entered, "set-cookie");
    assert!(
        cookie.starts_with("firstlight-session=") && cookie.contains("HttpOnly; SameSite=Strict"),
        "{cookie}"
    );
    let cookie = format!("Cookie: {}\r\n", cookie.split(';').next().unwrap());
    let fleet = ask(&host, &get("/ui/", &cookie), "").await;
    assert!(fleet.status == 200 && fleet.body.contains("operator"), "{fleet:?}");
    html::hold("/ui/", &fleet);
    child.kill().await.unwrap();
    rig.stop().await;
    let refused = rig.run(&["web", "open"]).await.ends_with(5).tells(&["no companion runs here"]);
    assert!(refused.stdout.is_empty());
}
