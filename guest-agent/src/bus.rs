//! systemd over D-Bus, every call with a time limit: a dead bus must not hold the report.

use std::future::Future;
use std::time::Duration;

use tokio::sync::Mutex;
use zbus::{Connection, OwnedObjectPath, OwnedVariant, fdo};

const ADDRESS: &str = "unix:path=/run/dbus/system_bus_socket";
const SYSTEMD: &str = "org.freedesktop.systemd1";
const MANAGER_PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const UNIT: &str = "org.freedesktop.systemd1.Unit";
const TIMEDATE: &str = "org.freedesktop.timedate1";
const TIMEDATE_PATH: &str = "/org/freedesktop/timedate1";
const TIME_LIMIT: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub(crate) enum BusError {
    #[error("the system bus did not answer within {} seconds", TIME_LIMIT.as_secs())]
    Timeout,
    #[error("the system bus cannot be used")]
    Bus(#[source] Box<zbus::Error>),
}

impl From<zbus::Error> for BusError {
    fn from(error: zbus::Error) -> Self {
        Self::Bus(Box::new(error))
    }
}

/// One unit of `ListUnitsFiltered`: name, description, load, active, sub, followed, path, job id, job type, job path.
type UnitRow =
    (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);

/// A unit's full name, and `active`, `failed`, ...
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnitState {
    pub name: String,
    pub active: String,
}

/// When a unit last left `inactive` and last became `active`: microseconds on CLOCK_MONOTONIC, 0 for never.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnitTimes {
    /// The unit's own name, where it was asked for by an alias.
    pub id: String,
    pub inactive_exit: u64,
    pub active_enter: u64,
}

/// Connects at the first call, and again after an error.
#[derive(Debug, Default)]
pub(crate) struct Bus(Mutex<Option<Connection>>);

impl Bus {
    /// systemd's own summary: `initializing`, `starting`, `running`, `degraded`, ...
    ///
    /// # Errors
    /// No bus, no answer in time, or no systemd.
    pub(crate) async fn system_state(&self) -> Result<String, BusError> {
        self.limited(async |bus| Ok(text_property(bus, MANAGER_PATH, MANAGER, "SystemState").await?)).await
    }

    /// Names of all failed units.
    ///
    /// # Errors
    /// As [`Bus::system_state`].
    pub(crate) async fn failed_units(&self) -> Result<Vec<String>, BusError> {
        let rows = self.units("ListUnitsFiltered", &(vec!["failed"],)).await?;
        Ok(rows.into_iter().map(|unit| unit.name).collect())
    }

    /// Loaded units whose names match a pattern as glob(7) has them.
    ///
    /// # Errors
    /// As [`Bus::system_state`].
    pub(crate) async fn units_matching(&self, pattern: &str) -> Result<Vec<UnitState>, BusError> {
        let any_state: [&str; 0] = [];
        self.units("ListUnitsByPatterns", &(any_state.as_slice(), [pattern].as_slice())).await
    }

    async fn units<B>(&self, method: &str, wanted: &B) -> Result<Vec<UnitState>, BusError>
    where
        B: serde::Serialize + zbus::zvariant::DynamicType,
    {
        self.limited(async |bus| {
            let answer = call(bus, method, wanted).await?;
            let rows: Vec<UnitRow> = answer.body().deserialize()?;
            Ok(rows.into_iter().map(|row| UnitState { name: row.0, active: row.3 }).collect())
        })
        .await
    }

    /// Whether the kernel's clock is synchronized, as systemd-timedated tells it.
    ///
    /// # Errors
    /// As [`Bus::system_state`], or there is no timedated.
    pub(crate) async fn clock_is_synchronized(&self) -> Result<bool, BusError> {
        self.limited(async |bus| {
            let value = get(bus, TIMEDATE, TIMEDATE_PATH, TIMEDATE, "NTPSynchronized").await?;
            Ok(bool::try_from(value)?)
        })
        .await
    }

    /// A text of systemd's own: `Version`, ...
    ///
    /// # Errors
    /// As [`Bus::system_state`].
    pub(crate) async fn manager_text(&self, name: &str) -> Result<String, BusError> {
        self.limited(async |bus| Ok(text_property(bus, MANAGER_PATH, MANAGER, name).await?)).await
    }

    /// Numbers of systemd's own, in this order; 0 for one that this systemd does not have.
    ///
    /// # Errors
    /// As [`Bus::system_state`].
    pub(crate) async fn manager_numbers<const N: usize>(
        &self,
        names: [&str; N],
    ) -> Result<[u64; N], BusError> {
        self.limited(async |bus| {
            let mut numbers = [0; N];
            for (number, name) in numbers.iter_mut().zip(names) {
                *number = number_property(bus, MANAGER_PATH, MANAGER, name).await?;
            }
            Ok(numbers)
        })
        .await
    }

    /// None if systemd has not loaded such a unit.
    ///
    /// # Errors
    /// As [`Bus::system_state`].
    pub(crate) async fn unit_times(&self, unit: &str) -> Result<Option<UnitTimes>, BusError> {
        self.limited(async |bus| {
            let Some(path) = unit_path(bus, unit).await? else { return Ok(None) };
            Ok(Some(UnitTimes {
                id: text_property(bus, path.as_str(), UNIT, "Id").await?,
                inactive_exit: number_property(bus, path.as_str(), UNIT, "InactiveExitTimestampMonotonic")
                    .await?,
                active_enter: number_property(bus, path.as_str(), UNIT, "ActiveEnterTimestampMonotonic")
                    .await?,
            }))
        })
        .await
    }

    /// `active`, `inactive`, `activating`, ...; none if systemd has not loaded such a unit.
    ///
    /// # Errors
    /// As [`Bus::system_state`].
    pub(crate) async fn active_state(&self, unit: &str) -> Result<Option<String>, BusError> {
        self.limited(async |bus| {
            let Some(path) = unit_path(bus, unit).await? else { return Ok(None) };
            Ok(Some(text_property(bus, path.as_str(), UNIT, "ActiveState").await?))
        })
        .await
    }

    /// Whether a unit is enabled in any way; `enabled`, `disabled`, `masked`, ... None if there is no such file.
    ///
    /// # Errors
    /// As [`Bus::system_state`].
    pub(crate) async fn file_state(&self, unit: &str) -> Result<Option<String>, BusError> {
        self.limited(async |bus| match call(bus, "GetUnitFileState", &(unit,)).await {
            Ok(answer) => Ok(Some(answer.body().deserialize()?)),
            Err(zbus::Error::MethodError(..)) => Ok(None),
            // What sd-bus makes of ENOENT.
            Err(zbus::Error::FDO(error)) if matches!(*error, fdo::Error::FileNotFound(_)) => Ok(None),
            Err(error) => Err(error.into()),
        })
        .await
    }

    /// What a loaded socket unit listens on for streams, as systemd writes it: `[::]:22`, `0.0.0.0:22`, a path.
    ///
    /// # Errors
    /// As [`Bus::system_state`], or there is no such unit.
    pub(crate) async fn listen_streams(&self, unit: &str) -> Result<Vec<String>, BusError> {
        self.limited(async |bus| {
            let path: OwnedObjectPath = call(bus, "GetUnit", &(unit,)).await?.body().deserialize()?;
            let properties = Some("org.freedesktop.DBus.Properties");
            let wanted = ("org.freedesktop.systemd1.Socket", "Listen");
            let answer = bus.call_method(Some(SYSTEMD), path.as_str(), properties, "Get", &wanted).await?;
            let value: OwnedVariant = answer.body().deserialize()?;
            let sockets = Vec::<(String, String)>::try_from(value)?;
            Ok(sockets.into_iter().filter(|(kind, _)| kind == "Stream").map(|(_, address)| address).collect())
        })
        .await
    }

    /// Queues a reload of a unit.
    ///
    /// # Errors
    /// As [`Bus::system_state`], or systemd refuses.
    pub(crate) async fn reload(&self, unit: &str) -> Result<(), BusError> {
        self.limited(async |bus| Ok(call(bus, "ReloadUnit", &(unit, "replace")).await.map(drop)?)).await
    }

    /// Queues a restart of a unit, if it runs.
    ///
    /// # Errors
    /// As [`Bus::system_state`], or systemd refuses.
    pub(crate) async fn restart(&self, unit: &str) -> Result<(), BusError> {
        self.limited(async |bus| Ok(call(bus, "TryRestartUnit", &(unit, "replace")).await.map(drop)?)).await
    }

    async fn limited<T, F>(&self, work: F) -> Result<T, BusError>
    where
        F: AsyncFnOnce(&Connection) -> Result<T, BusError>,
    {
        let done = time_limited(async {
            let mut kept = self.0.lock().await;
            let connection = match kept.as_ref() {
                Some(connection) => connection.clone(),
                None => kept.insert(connect().await?).clone(),
            };
            drop(kept);
            work(&connection).await
        })
        .await;
        if done.is_err() {
            self.0.lock().await.take();
        }
        done
    }
}

async fn time_limited<T>(work: impl Future<Output = Result<T, BusError>>) -> Result<T, BusError> {
    tokio::time::timeout(TIME_LIMIT, work).await.unwrap_or(Err(BusError::Timeout))
}

async fn connect() -> Result<Connection, zbus::Error> {
    zbus::connection::Builder::address(ADDRESS).build().await
}

async fn call<B>(bus: &Connection, method: &str, body: &B) -> Result<zbus::Message, zbus::Error>
where
    B: serde::Serialize + zbus::zvariant::DynamicType,
{
    bus.call_method(Some(SYSTEMD), MANAGER_PATH, Some(MANAGER), method, body).await
}

/// None if systemd has not loaded such a unit.
async fn unit_path(bus: &Connection, unit: &str) -> Result<Option<OwnedObjectPath>, zbus::Error> {
    match call(bus, "GetUnit", &(unit,)).await {
        Ok(answer) => Ok(Some(answer.body().deserialize()?)),
        Err(zbus::Error::MethodError(..)) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn get(
    bus: &Connection,
    service: &str,
    path: &str,
    interface: &str,
    name: &str,
) -> Result<OwnedVariant, zbus::Error> {
    let properties = Some("org.freedesktop.DBus.Properties");
    let answer = bus.call_method(Some(service), path, properties, "Get", &(interface, name)).await?;
    answer.body().deserialize()
}

async fn text_property(
    bus: &Connection,
    path: &str,
    interface: &str,
    name: &str,
) -> Result<String, zbus::Error> {
    String::try_from(get(bus, SYSTEMD, path, interface, name).await?)
}

/// 0 for a property that is not there.
async fn number_property(
    bus: &Connection,
    path: &str,
    interface: &str,
    name: &str,
) -> Result<u64, zbus::Error> {
    match get(bus, SYSTEMD, path, interface, name).await {
        Ok(value) => u64::try_from(value),
        Err(zbus::Error::FDO(error)) if matches!(*error, fdo::Error::UnknownProperty(_)) => Ok(0),
        Err(error) => Err(error),
    }
}
