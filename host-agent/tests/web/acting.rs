//! What an operator does with forms, and what nobody can do without.

use crate::browser::{With, between, header};
use crate::house::{House, OPERATOR, READER};

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_cancelled_by_its_own_form_only() {
    let house = House::open().await;
    house.rig.hypervisor.change(|manner| manner.silent = true);
    house.rig.run(&["up", &house.rig.spec(&["web-01"], ""), "--detach"]).await.ends_with(0);
    house.rig.await_state("web-01", "waiting").await;
    let job = house.rig.job("web-01").await;
    let (operator, reader) = (house.signed_in(OPERATOR).await, house.signed_in(READER).await);

    operator.page("/ui/guests/web-01").await;
    let (shown, ask) = (format!("/ui/jobs/{job}"), format!("/ui/jobs/{job}/cancel"));
    let page = operator.page(&shown).await;
    assert!(page.contains("id=\"do-cancel\"") && !page.contains("id=\"do-destroy\""), "{page}");
    let page = operator.page(&ask).await;
    assert!(page.contains("everything that it did is undone"), "{page}");
    let csrf = between(&page, "name=\"csrf\" value=\"", "\"").to_owned();
    assert_eq!(csrf, operator.csrf().await, "one token for one session");

    // A reader has no form, and sending one all the same changes nothing.
    assert_eq!(reader.get(&ask).await.status, 403);
    let theirs = reader.csrf().await;
    let cross = With { headers: "Sec-Fetch-Site: cross-site\r\n", form: &[("csrf", &csrf)] };
    let origin = With { headers: "Origin: https://evil.example\r\n", form: &[("csrf", &csrf)] };
    for (who, answer, status) in [
        ("the reader", reader.post(&ask, &[("csrf", &theirs)]).await, 403),
        ("no token", operator.post(&ask, &[("reason", "x")]).await, 403),
        ("a wrong token", operator.post(&ask, &[("csrf", "wrong")]).await, 403),
        ("another session's token", operator.post(&ask, &[("csrf", &theirs)]).await, 403),
        ("a page of somebody else", operator.send("POST", &ask, cross).await, 403),
        ("an origin of somebody else", operator.send("POST", &ask, origin).await, 403),
        ("nobody", house.browser().post(&ask, &[("csrf", &csrf)]).await, 401),
        ("an action that is none", operator.post(&format!("{shown}/explode"), &[("csrf", &csrf)]).await, 404),
    ] {
        assert_eq!(answer.status, status, "{who}: {answer:?}");
    }
    house.rig.await_state("web-01", "waiting").await;

    let done = operator.post(&ask, &[("csrf", &csrf), ("reason", "<b>wrong</b> golden")]).await;
    assert_eq!((done.status, header(&done, "location")), (303, format!("{shown}?asked=cancel")), "{done:?}");
    house.rig.await_state("web-01", "rolled-back").await;
    let page = operator.page(&format!("{shown}?asked=cancel")).await;
    assert!(page.contains("rolled back") && page.contains("Asked for"), "{page}");
    let late = operator.post(&ask, &[("csrf", &csrf)]).await;
    assert!(late.status == 409 && late.body.contains("job-ended"), "{late:?}");
    let events = house.rig.run(&["show", &job, "--events"]).await.stdout;
    assert!(events.contains("token:operator") && events.contains("<b>wrong</b> golden"), "{events}");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stuck_is_tried_again_and_what_is_ready_destroyed() {
    let house = House::open().await;
    house.rig.hypervisor.break_guest("web-01", true);
    house.rig.run(&["up", &house.rig.spec(&["web-01"], "on_failure = \"keep\"")]).await;
    house.rig.await_state("web-01", "needs-operator").await;
    let (job, operator) = (house.rig.job("web-01").await, house.signed_in(OPERATOR).await);
    let page = operator.page(&format!("/ui/jobs/{job}")).await;
    for part in [
        "id=\"failure\"",
        "id=\"leftovers\"",
        "firstlight",
        "id=\"do-retry\"",
        "id=\"do-anew\"",
        "id=\"do-abandon\"",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    house.rig.hypervisor.break_guest("web-01", false);
    let csrf = operator.csrf().await;
    let asked = operator.post(&format!("/ui/jobs/{job}/retry"), &[("csrf", &csrf)]).await;
    assert_eq!(asked.status, 303, "{asked:?}");
    house.rig.await_state("web-01", "done").await;

    let page = operator.page(&format!("/ui/jobs/{job}/destroy")).await;
    assert!(page.contains("cannot be taken back"), "{page}");
    let gone = operator.post(&format!("/ui/jobs/{job}/destroy"), &[("csrf", &csrf)]).await;
    assert_eq!(gone.status, 303, "{gone:?}");
    house.rig.await_state("web-01", "rolled-back").await;
    assert!(house.rig.hypervisor.machine("web-01").is_none());

    let anew = operator.post(&format!("/ui/jobs/{job}/anew"), &[("csrf", &csrf)]).await;
    let successor = between(&header(&anew, "location"), "/ui/jobs/", "?").to_owned();
    assert_ne!(successor, job);
    house.rig.await_state("web-01", "done").await;
    // The name is another job's by now: the old page's button does not hit it.
    let late = operator.post(&format!("/ui/jobs/{job}/destroy"), &[("csrf", &csrf)]).await;
    assert_eq!(late.status, 409, "{late:?}");
    assert!(house.rig.hypervisor.machine("web-01").is_some());
    house.close().await;
}
