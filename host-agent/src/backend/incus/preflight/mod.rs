//! What cannot work is refused before anything is done: the plan alone first, then the plan over what the server says.

mod plan;

use super::Incus;
use super::client::Client;
use super::client::endpoint::image::ImageFacts;
use super::client::endpoint::instance::Kind;
use super::client::endpoint::project::ReadProject;
use super::client::endpoint::server::{ReadServer, Server};
use super::client::endpoint::storage::ReadPool;
use super::client::verdict::{Class, Code};
use super::golden::{Golden, file_mark, golden, image, kind};
use super::read::read;
use super::wanted::{Base, pools};
use super::{export, stamp};
use crate::backend::{GuestPlan, Place};
use crate::outcome::Fault;

impl Incus {
    /// # Errors
    /// What keeps the guest from being made, with the field's name; or there is no answer.
    pub(super) async fn check_plan(&self, plan: &GuestPlan) -> Result<(), Fault> {
        plan::check(plan)?;
        let client = self.site(&plan.place)?;
        let server = client.send(&ReadServer).await.map_err(|error| Fault::from(&error))?;
        check_server(&client, &server, plan)?;
        match client.send(&ReadProject { name: client.project().to_owned() }).await {
            Ok(_) => {}
            Err(error) if matches!(error.class, Class::Gone | Class::Rejected(Code::NoProject)) => {
                let message = format!("project: `{}` has no project `{}`", client.remote(), client.project());
                return Err(Fault::new(Code::NoProject.as_str(), message)
                    .with_hint("`incus project list` on the server shows those that are there"));
            }
            Err(error) => return Err(Fault::from(&error)),
        }
        match golden(plan) {
            Golden::Image(name) => check_image(&image(&client, &name).await?, &server, plan)?,
            Golden::Export(file) => check_export(export::kind(&file).await?.as_deref(), plan)?,
        }
        let base = self.base(&client, plan).await?;
        plan::check_networks(plan, &base, self.defaults.network.as_deref())?;
        if kind(plan) == Kind::VirtualMachine && !base.has_guest_api() {
            return Err(plan::field(
                "kind",
                "a machine gets its claim over devIncus alone, which a profile turns off",
            )
            .with_hint("security.guestapi of the profiles has to be true for machines"));
        }
        self.check_pools(&client, plan, &base).await
    }

    async fn check_pools(&self, client: &Client, plan: &GuestPlan, base: &Base) -> Result<(), Fault> {
        let mut pools = pools(plan, base, &self.defaults)?;
        pools.sort();
        pools.dedup();
        for pool in pools {
            match client.send(&ReadPool { name: pool.clone() }).await {
                Ok(_) => {}
                Err(error) if matches!(error.class, Class::Gone | Class::Rejected(Code::NoPool)) => {
                    return Err(Fault::new(
                        Code::NoPool.as_str(),
                        format!(
                            "storage: `{}` has no pool `{pool}`, or the client may not see it",
                            client.remote()
                        ),
                    )
                    .with_hint("`incus storage list` on the server shows those that are there"));
                }
                Err(error) => return Err(Fault::from(&error)),
            }
        }
        Ok(())
    }

    /// In words for people; none: the name is free there. Names are the instances' ids, within their project.
    pub(super) async fn instance_called(&self, name: &str, place: &Place) -> Result<Option<String>, Fault> {
        let client = self.site(place)?;
        let Some(instance) = read(&client, name).await? else { return Ok(None) };
        let whose = match stamp::job_of(&instance.config) {
            Some(job) => format!("stamp of job {job}"),
            None => "not ours".to_owned(),
        };
        let place = format!("project {} of `{}`", client.project(), client.remote());
        Ok(Some(format!("instance `{name}` in {place} ({whose})")))
    }

    /// # Errors
    /// There is no such golden, or no answer.
    pub(super) async fn mark_of(&self, plan: &GuestPlan) -> Result<String, Fault> {
        match golden(plan) {
            Golden::Export(file) => file_mark(&file).await,
            Golden::Image(name) => {
                let image = image(&self.site(&plan.place)?, &name).await?;
                Ok(format!("image {}", image.fingerprint))
            }
        }
    }
}

fn check_server(client: &Client, server: &Server, plan: &GuestPlan) -> Result<(), Fault> {
    if !server.is_trusted() {
        let fault = Fault::new(
            "incus-denied",
            format!("`{}` ({}) does not trust our certificate", client.remote(), client.address()),
        );
        return Err(fault.with_hint(
            "on the server: `incus config trust add-certificate FILE`; docs/incus.md has the whole way",
        ));
    }
    let wanted = if kind(plan) == Kind::Container { "lxc" } else { "qemu" };
    let drivers = &server.environment.driver;
    if drivers.split('|').all(|driver| driver.trim() != wanted) {
        return Err(plan::field(
            "kind",
            format_args!(
                "the server runs {drivers}, and this needs {wanted}: machines want KVM and vhost-vsock there"
            ),
        ));
    }
    Ok(())
}

fn check_image(image: &ImageFacts, server: &Server, plan: &GuestPlan) -> Result<(), Fault> {
    if image.kind != kind(plan) {
        let (is, wanted) = match image.kind {
            Kind::Container => ("containers", "lxc"),
            Kind::VirtualMachine => ("machines", "vm"),
        };
        return Err(plan::field(
            "kind",
            format_args!("the golden is an image of {is}: `kind = \"{wanted}\"` is wanted"),
        ));
    }
    let known = &server.environment.architectures;
    if !image.architecture.is_empty() && !known.is_empty() && !known.contains(&image.architecture) {
        return Err(plan::field(
            "golden",
            format_args!("the image is for {}, and the server is {}", image.architecture, known.join(", ")),
        ));
    }
    Ok(())
}

fn check_export(found: Option<&str>, plan: &GuestPlan) -> Result<(), Fault> {
    let wanted = match kind(plan) {
        Kind::Container => "container",
        Kind::VirtualMachine => "virtual-machine",
    };
    match found {
        Some(found) if found != wanted => {
            Err(plan::field("kind", format_args!("the golden is an export of a {found}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::wanted::testing::plan;
    use super::*;

    #[test]
    fn images_of_another_kind_or_machine_are_refused() {
        let server: Server = serde_json::from_value(
            json!({ "auth": "trusted", "environment": { "driver": "lxc | qemu", "architectures": ["x86_64", "i686"] } }),
        )
        .unwrap();
        for (kind, architecture, wanted, well) in [
            ("container", "x86_64", "lxc", true),
            ("virtual-machine", "x86_64", "lxc", false),
            ("virtual-machine", "x86_64", "vm", true),
            ("container", "x86_64", "vm", false),
            ("container", "aarch64", "lxc", false),
            ("container", "", "lxc", true),
        ] {
            let image = json!({ "fingerprint": "f", "type": kind, "architecture": architecture });
            let plan = plan(json!({ "kind": wanted }));
            let checked = check_image(&serde_json::from_value(image).unwrap(), &server, &plan);
            assert_eq!(checked.is_ok(), well, "{kind} {architecture} {wanted}");
        }
        assert!(check_export(Some("virtual-machine"), &plan(json!({}))).is_err());
        assert!(check_export(Some("container"), &plan(json!({}))).is_ok());
    }
}
