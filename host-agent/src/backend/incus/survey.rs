//! Everything that carries a stamp of ours: one list of each server, of all projects that we may see.

use futures_util::future::join_all;

use super::client::Client;
use super::client::endpoint::instance::{Instance, ListInstances};
use super::{Incus, stamp};
use crate::backend::Surveyed;
use crate::outcome::Fault;

impl Incus {
    /// # Errors
    /// A server does not answer: what is there cannot be told then.
    pub(super) async fn survey_instances(&self) -> Result<Vec<Surveyed>, Fault> {
        let lists = self.remotes.iter().map(list);
        let mut found = Vec::new();
        for list in join_all(lists).await {
            found.extend(list?.iter().filter_map(surveyed));
        }
        Ok(found)
    }
}

async fn list(client: &Client) -> Result<Vec<Instance>, Fault> {
    let all = ListInstances { all_projects: true, ..ListInstances::default() };
    client.send(&all).await.map_err(|error| Fault::from(&error))
}

/// None: it is nobody's of ours.
fn surveyed(instance: &Instance) -> Option<Surveyed> {
    // Of an export that is being imported: the stamp in it is of an earlier life.
    let job = stamp::job_of_name(&instance.name).or_else(|| stamp::job_of(&instance.config))?;
    Some(Surveyed {
        job: Some(job.to_owned()),
        guest: instance.name.clone(),
        id: None,
        running: instance.is_running(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_has_our_stamp_is_found_and_an_import_is_its_jobs() {
        let of = |name: &str, config: serde_json::Value, status: &str| {
            let instance = json!({ "name": name, "type": "container", "status": status, "config": config });
            surveyed(&serde_json::from_value(instance).unwrap()).map(|one| (one.job.unwrap(), one.running))
        };
        let stamp = json!({ "user.firstlight.job": "j1" });
        assert_eq!(of("web-01", stamp.clone(), "Running"), Some(("j1".into(), true)));
        assert_eq!(of("web-01", stamp.clone(), "Ready"), Some(("j1".into(), true)));
        assert_eq!(of("web-01", stamp.clone(), "Frozen"), Some(("j1".into(), true)));
        assert_eq!(of("web-01", stamp.clone(), "Stopped"), Some(("j1".into(), false)));
        assert_eq!(of("web-01", json!({ "user.other": "j1" }), "Running"), None);
        assert_eq!(of("web-01", json!(null), "Running"), None);
        assert_eq!(of("firstlight-0a1b", stamp, "Stopped"), Some(("0a1b".into(), false)));
    }
}
