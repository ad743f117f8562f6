//! Containers of a bare template, which nothing but peers of ours asks for.

use firstlight_tests::simpve::call::Method;
use firstlight_tests::simpve::example::CONTAINER_GOLDEN;
use firstlight_tests::simpve::storage::Archive;
use firstlight_tests::simpve::world::World;
use serde_json::{Value, json};

use crate::semantics::{ask, upid, world};

const TEMPLATE: &str = "local:vztmpl/debian-13-standard_13.0-1_amd64.tar.zst";

fn with_template() -> World {
    let mut world = world();
    world.archives.insert(TEMPLATE.into(), Archive::template());
    world
}

#[test]
fn a_template_is_created_from_and_a_backup_is_restored() {
    type Parameters = &'static [(&'static str, &'static str)];
    let table: [(&str, Parameters, u16, &str); 6] = [
        (TEMPLATE, &[], 200, "vzcreate"),
        (CONTAINER_GOLDEN, &[("restore", "1")], 200, "vzrestore"),
        (CONTAINER_GOLDEN, &[], 500, "content type needs to be 'vztmpl'"),
        (TEMPLATE, &[("restore", "1")], 500, "content type needs to be 'backup'"),
        (TEMPLATE, &[("unprivileged", "0")], 403, "Permission check failed (/, Sys.Modify)"),
        (TEMPLATE, &[("unique", "1")], 400, "Parameter verification failed."),
    ];
    for (volume, more, status, words) in table {
        let mut world = with_template();
        let mut parameters = vec![("vmid", "101"), ("ostemplate", volume)];
        parameters.extend(more);
        let answer = ask(&mut world, Method::Post, "/nodes/pve1/lxc", &parameters);
        let said = if status == 200 { upid(&answer) } else { answer.reason.clone() };
        assert!(answer.status == status && said.contains(words), "{volume} {more:?}: {answer:?}");
    }
}

#[test]
fn it_takes_as_long_as_a_restore_and_gives_the_container_its_defaults() {
    let mut world = with_template();
    let parameters = [
        ("vmid", "101"),
        ("ostemplate", TEMPLATE),
        ("hostname", "web-01"),
        ("rootfs", "local:10"),
        ("mp0", "local:1,mp=/mnt/data"),
    ];
    let task = upid(&ask(&mut world, Method::Post, "/nodes/pve1/lxc", &parameters));
    assert_eq!(world.finish_task(&task).as_deref(), Some("OK"));
    assert_eq!(world.now(), world.profile.allocate + world.profile.extract);
    let answer = ask(&mut world, Method::Get, "/nodes/pve1/lxc/101/config", &[]);
    let mut config = answer.value().cloned().unwrap();
    config.as_object_mut().unwrap().remove("digest");
    assert_eq!(
        config,
        json!({
            "arch": "amd64", "hostname": "web-01", "memory": 512, "mp0": "local:101/vm-101-disk-1.raw,mp=/mnt/data,size=1G",
            "ostype": "debian", "rootfs": "local:101/vm-101-disk-0.raw,size=10G", "swap": 512, "unprivileged": 1,
        })
    );
    let log = ask(&mut world, Method::Get, &format!("/nodes/pve1/tasks/{task}/log"), &[("limit", "0")]);
    let log = log.value().cloned().unwrap().to_string();
    assert!(log.contains("/var/lib/vz/template/cache/debian-13-") && !log.contains("restoring"), "{log}");
}

#[test]
fn it_is_listed_among_the_storages_files() {
    let mut world = with_template();
    let listed = |world: &mut World, content: &[(&str, &str)]| {
        let answer = ask(world, Method::Get, "/nodes/pve1/storage/local/content", content);
        let lines = answer.value().and_then(Value::as_array).cloned().unwrap();
        let line = lines.into_iter().find(|line| line["volid"] == TEMPLATE);
        line.map(|line| json!([line["content"], line["format"]]))
    };
    assert_eq!(listed(&mut world, &[]), Some(json!(["vztmpl", "tzst"])));
    assert_eq!(listed(&mut world, &[("content", "vztmpl")]), Some(json!(["vztmpl", "tzst"])));
    assert_eq!(listed(&mut world, &[("content", "backup")]), None);
}
