use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;

fn secret(text: &str) -> Secret {
    Secret::new(text.as_bytes().to_vec())
}

fn hook(events: Vec<Ending>) -> Hook {
    let address = "http://127.0.0.1:9/x".parse().unwrap();
    let key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    Hook::new("ci".into(), &secret(key), events, Postbox::new(address, None).unwrap()).unwrap()
}

/// The example of the Standard Webhooks specification and its libraries.
#[test]
fn a_signature_is_that_of_the_specification() {
    let key = SigningKey::parse(&secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")).unwrap();
    let signature = key.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b"{\"test\": 2432232314}");
    assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    assert!(!format!("{key:?}").contains("Mf"), "{key:?}");
}

#[test]
fn a_secret_has_its_form_and_length() {
    let of = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![7; bytes]));
    for (text, good) in [
        (of(24), true),
        (of(64), true),
        (format!("{}\n", of(32)), true),
        (of(23), false),
        (of(65), false),
        (of(32).replace("whsec_", ""), false),
        ("whsec_***".to_owned(), false),
        (String::new(), false),
    ] {
        assert_eq!(SigningKey::parse(&secret(&text)).is_ok(), good, "{text}");
    }
}

#[test]
fn a_test_is_a_letter_that_is_signed_when_it_is_sent() {
    let message = Message {
        target: "webhook:ci".into(),
        id: "test-1".into(),
        job: String::new(),
        seq: 0,
        at_ms: 1_795_316_645_678,
        tries: 2,
    };
    let hook = hook(vec![Ending::Ready]);
    assert_eq!(hook.name(), "webhook:ci");
    let letter = hook.letter(&message, None, 1_795_316_999_000).unwrap();
    assert_eq!(letter.what, "firstlight.test");
    let body = String::from_utf8(letter.body.clone()).unwrap();
    assert_eq!(
        body,
        "{\"type\":\"firstlight.test\",\"timestamp\":\"2026-11-22T03:04:05.678Z\",\"data\":{\"webhook\":\"ci\"}}"
    );
    let signature = hook.key.sign("msg_test-1", 1_795_316_999, &letter.body);
    assert_eq!(
        letter.headers,
        [
            ("webhook-id", "msg_test-1".to_owned()),
            ("webhook-timestamp", "1795316999".to_owned()),
            ("webhook-signature", signature),
        ]
    );
}
