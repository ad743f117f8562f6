//! Tokens, links, sessions, roles.

use crate::browser::{With, between, header};
use crate::house::{House, OPERATOR, READER};
use crate::rig::run;

/// A link as the program prints it: path and query.
async fn link(house: &House, words: &[&str]) -> String {
    let ran = house.rig.run(&[&["web", "open"], words].concat()).await.ends_with(0);
    let url = ran.stdout.trim();
    let base = format!("https://localhost:{}", house.api.address.port());
    url.strip_prefix(&base).unwrap_or_else(|| panic!("{url} is not at {base}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_signs_in_and_a_session_is_no_way_into_the_api() {
    let house = House::open().await;
    let mut browser = house.browser();
    for (path, to) in [
        ("/", "/ui/"),
        ("/ui", "/ui/sign-in?next=%2Fui"),
        ("/ui/jobs?state=ended", "/ui/sign-in?next=%2Fui%2Fjobs%3Fstate%3Dended"),
    ] {
        let answer = browser.get(path).await;
        assert_eq!((answer.status, header(&answer, "location")), (303, to.to_owned()), "{path}");
    }
    let form = browser.page("/ui/sign-in?next=/ui/jobs").await;
    assert!(form.contains("name=\"next\" value=\"/ui/jobs\"") && !form.contains("Sign out"), "{form}");
    let wrong = browser.post("/ui/sign-in", &[("token", "a-token-that-nobody-knows")]).await;
    assert!(
        wrong.status == 401 && wrong.body.contains("not known") && !wrong.head.contains("set-cookie"),
        "{wrong:?}"
    );

    let right = browser.post("/ui/sign-in", &[("token", OPERATOR), ("next", "/ui/jobs")]).await;
    assert_eq!((right.status, header(&right, "location")), (303, "/ui/jobs".to_owned()));
    let cookie = header(&right, "set-cookie");
    assert!(cookie.starts_with("__Host-firstlight="), "{cookie}");
    for word in ["Path=/", "Secure", "HttpOnly", "SameSite=Strict"] {
        assert!(cookie.contains(word), "{cookie}");
    }
    browser.keep(&right);
    for path in ["/ui/", "/ui/jobs", "/ui/jobs?state=all"] {
        let page = browser.page(path).await;
        assert!(page.contains("token:operator") && page.contains("Sign out"), "{page}");
    }
    let to = browser.get("/ui/guests/none").await;
    assert!(to.status == 404 && to.body.contains("there is no guest"), "{to:?}");

    // Of the API's routes none takes a cookie for a proof.
    for path in ["/v1/jobs", "/metrics", "/v1/web/links"] {
        assert_eq!(browser.get(path).await.status, 401, "{path}");
    }
    let csrf = browser.csrf().await;
    let out = browser.post("/ui/sign-out", &[("csrf", &csrf)]).await;
    assert_eq!(header(&out, "location"), "/ui/sign-in");
    assert!(header(&out, "set-cookie").contains("Max-Age=0"));
    assert_eq!(browser.get("/ui/").await.status, 303, "the old cookie is worth nothing");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_signs_one_browser_in_and_looking_at_it_does_not() {
    let house = House::open().await;
    let path = link(&house, &[]).await;
    let mut browser = house.browser();
    for _ in 0..2 {
        let page = browser.page(&path).await;
        assert!(page.contains("operator") && page.contains("data-submit"), "{page}");
    }
    let code = between(&path, "code=", "&").to_owned();
    let foreign = With { headers: "Sec-Fetch-Site: cross-site\r\n", form: &[("code", &code)] };
    assert_eq!(browser.send("POST", "/ui/enter", foreign).await.status, 403);
    let entered = browser.post("/ui/enter", &[("code", &code)]).await;
    assert_eq!(entered.status, 303, "{entered:?}");
    browser.keep(&entered);
    assert!(browser.page("/ui/").await.contains("operator"));
    let again = house.browser().post("/ui/enter", &[("code", &code)]).await;
    assert!(again.status == 401 && again.body.contains("not good any more"), "{again:?}");
    assert_eq!(house.browser().get(&path).await.status, 401);

    let mut looking = house.browser();
    let code = link(&house, &["--read-only"]).await;
    let entered = looking.post("/ui/enter", &[("code", between(&code, "code=", "&"))]).await;
    looking.keep(&entered);
    assert!(looking.page("/ui/").await.contains("may look only"));
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_only_look_gets_a_link_to_look_with() {
    let house = House::open().await;
    let pem = house.folder.path().join("authority.pem");
    std::fs::write(&pem, house.api.authority.pem()).unwrap();
    let (url, token) =
        (format!("https://localhost:{}", house.api.address.port()), house.folder.path().join("reader"));
    let words = [
        "web",
        "open",
        "--url",
        &url,
        "--ca",
        pem.to_str().unwrap(),
        "--token-file",
        token.to_str().unwrap(),
    ];
    let ran = run(crate::rig::program(&words)).await.ends_with(0);
    let path = ran.stdout.trim().strip_prefix(&url).unwrap();
    let mut browser = house.browser();
    let entered = browser.post("/ui/enter", &[("code", between(path, "code=", "&"))]).await;
    browser.keep(&entered);
    let page = browser.page("/ui/").await;
    assert!(page.contains("token:reader") && page.contains("may look only"), "{page}");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_when_its_token_is_changed() {
    let house = House::open().await;
    let (reader, operator) = (house.signed_in(READER).await, house.signed_in(OPERATOR).await);
    reader.page("/ui/").await;
    std::fs::write(house.folder.path().join("reader"), "another-token-that-may-look").unwrap();
    let file = house.rig.path("firstlight.toml");
    let sources = firstlight::config::Sources {
        file,
        file_is_named: true,
        host_name: "test".into(),
        ..firstlight::config::Sources::default()
    };
    let settings = firstlight::config::load(&sources).unwrap().settings;
    house.rig.companion.as_ref().unwrap().reload(&settings).unwrap();
    assert_eq!(reader.get("/ui/").await.status, 303);
    operator.page("/ui/").await;
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_fails_to_sign_in_waits_longer_each_time() {
    let house = House::open().await;
    let browser = house.browser();
    let mut waits = Vec::new();
    for _ in 0..3 {
        let began = std::time::Instant::now();
        assert_eq!(browser.post("/ui/sign-in", &[("token", "a-guess-at-the-token")]).await.status, 401);
        waits.push(began.elapsed().as_millis());
    }
    assert!(waits[0] >= 200 && waits[1] >= 400 && waits[2] >= 800, "{waits:?}");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn style_script_and_icon_are_kept_for_good_and_nothing_else_is_there() {
    let house = House::open().await;
    let browser = house.browser();
    let page = browser.page("/ui/sign-in").await;
    for (name, kind) in
        [("style.css", "text/css"), ("live.js", "text/javascript"), ("icon.svg", "image/svg+xml")]
    {
        let version = between(&page, "/ui/assets/", "/");
        let answer = browser.get(&format!("/ui/assets/{version}/{name}")).await;
        assert_eq!(answer.status, 200, "{name}");
        assert!(header(&answer, "content-type").starts_with(kind), "{name}");
        assert!(header(&answer, "cache-control").contains("immutable"), "{name}");
        assert!(!answer.body.contains("http://") || name == "icon.svg", "{name} asks somebody else");
        assert_eq!(browser.get(&format!("/ui/assets/old/{name}")).await.status, 404);
    }
    assert_eq!(browser.get("/ui/assets/x/none").await.status, 404);
    house.close().await;
}
