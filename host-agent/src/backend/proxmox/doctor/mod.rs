//! Whether this token on this cluster can do what is asked: what there is (`facts`), what is needed (`needs`), and what
//! follows (`findings`). Changes nothing anywhere.
//!
//! What could not be checked is never well: a finding says so and why.

mod facts;
mod findings;
mod grants;
mod needs;
mod storages;

use self::facts::Collector;
use self::findings::judge;
use self::needs::asks;
use super::client::SettingsError;
use super::settings::ProxmoxConfig;
use crate::backend::GuestPlan;
use crate::backend::findings::Findings;

/// Looks at everything, for these guests, or for containers (and machines, if it may) with the configuration's defaults.
/// `progress` hears what is looked at next.
///
/// # Errors
/// The settings cannot be used; whatever the cluster says is a finding.
pub async fn examine(
    config: &ProxmoxConfig,
    plans: Option<&[GuestPlan]>,
    progress: &mut (dyn FnMut(&str) + Send),
) -> Result<Findings, SettingsError> {
    let asks = asks(plans, &config.defaults);
    let facts = Collector::new(config, progress)?.collect(asks, plans.unwrap_or_default()).await;
    Ok(judge(&facts))
}
