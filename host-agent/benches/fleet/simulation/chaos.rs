//! What goes wrong, and when: a pure function of the seed, told in shares of the fleet that has ended; and doing it.

use std::time::Duration;

use firstlight_tests::simpve::random::Random;

use super::ground::Ground;
use super::proxy::Weather;

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// SIGKILL; it is started again after so long.
    KillCompanion(usize, Duration),
    /// It stands still for so long: longer than its leases hold.
    PauseCompanion(usize, Duration),
    /// SIGKILL; PostgreSQL recovers.
    KillDatabase(Duration),
    /// Between guests and a companion.
    Guests(usize, Weather, Duration),
    /// Between a companion and its database.
    Database(usize, Weather, Duration),
}

/// A fault, once so many guests have ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Due {
    pub(crate) ended: usize,
    pub(crate) fault: Fault,
}

/// A kill and a cut come first; all others are drawn. `shared`: there is a database, and several companions.
pub(crate) fn schedule(seed: u64, guests: usize, faults: usize, companions: usize, shared: bool) -> Vec<Due> {
    let mut random = Random::new(seed.rotate_left(17));
    let mut due = Vec::new();
    for number in 0..faults {
        // From a twentieth to nine tenths of the fleet.
        let ended = guests / 20 + guests * 17 / 20 * number / faults;
        let kind = match number {
            0 => 0,
            1 => 2,
            _ => random.between(0, if shared { 5 } else { 3 }),
        };
        let one = usize::try_from(random.between(0, companions as u64 - 1)).unwrap_or_default();
        let lasts = Duration::from_millis(random.between(300, 2500));
        let weather = match random.between(0, 3) {
            _ if number == 1 => Weather::Cut,
            0 => Weather::Cut,
            1 => Weather::Slow(Duration::from_millis(random.between(20, 200))),
            2 => Weather::Torn,
            _ => Weather::Silent,
        };
        let fault = match kind {
            0 | 1 => Fault::KillCompanion(one, lasts),
            2 | 3 => Fault::Guests(one, weather, lasts),
            4 if number % 2 == 0 => Fault::KillDatabase(lasts),
            4 => Fault::PauseCompanion(one, lasts + Duration::from_secs(5)),
            _ => Fault::Database(one, weather, lasts),
        };
        due.push(Due { ended, fault });
    }
    due
}

/// Lets it go wrong, and sets it right again.
pub(crate) async fn carry_out(fault: Fault, ground: &mut Ground) {
    match fault {
        Fault::KillCompanion(one, lasts) => {
            ground.companions[one].kill();
            tokio::time::sleep(lasts).await;
            ground.start_again(one).await;
        }
        Fault::PauseCompanion(one, lasts) => {
            ground.companions[one].signal(nix::sys::signal::Signal::SIGSTOP);
            tokio::time::sleep(lasts).await;
            ground.companions[one].signal(nix::sys::signal::Signal::SIGCONT);
        }
        Fault::KillDatabase(lasts) => {
            if let Some(database) = &mut ground.database {
                database.kill();
                tokio::time::sleep(lasts).await;
                database.resume();
            }
        }
        Fault::Guests(one, weather, lasts) => {
            ground.doors[one].set(weather);
            tokio::time::sleep(lasts).await;
            ground.doors[one].set(Weather::Fair);
        }
        Fault::Database(one, weather, lasts) => {
            if let Some(wire) = ground.wires.get(one) {
                wire.set(weather);
                tokio::time::sleep(lasts).await;
                wire.set(Weather::Fair);
            }
        }
    }
}
