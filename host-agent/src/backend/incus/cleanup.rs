//! Commands for people.

use super::Incus;
use super::client::Client;
use super::site::name_of;
use super::stamp;
use crate::backend::Placement;

impl Incus {
    pub(super) fn cleanup_commands(&self, placement: &Placement) -> Vec<String> {
        let Ok(client) = self.site(&placement.plan.place) else { return Vec::new() };
        let defaults = self.defaults.pool.as_deref();
        commands(client.project(), &client, placement, defaults)
    }
}

fn commands(project: &str, client: &Client, placement: &Placement, pool: Option<&str>) -> Vec<String> {
    let (name, job) = (name_of(placement), &placement.job);
    let place = format!("--project {project}");
    let server = format!("# on `{}` ({})", client.remote(), client.address());
    let mut commands = vec![
        format!("incus config get {name} {} {place}  {server}: is it {job}? Only then go on", stamp::JOB),
        format!("incus delete --force {name} {place}  {server}"),
    ];
    if super::golden::is_export(&placement.plan) {
        commands
            .push(format!("incus delete --force {} {place}  {server}: of an import", stamp::made_as(job)));
    }
    let pool = placement.plan.place.storage.as_deref().or(pool).unwrap_or("POOL");
    for (number, mount) in placement.plan.mounts.iter().enumerate() {
        let pool = mount.storage.as_deref().unwrap_or(pool);
        let volume = stamp::volume(name, number);
        commands.push(format!("incus storage volume delete {pool} {volume} {place}  {server}"));
    }
    commands
}
