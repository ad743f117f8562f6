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

#[derive(Debug, Clone, Copy)]
enum Kind {
    KillCompanion,
    Guests,
    KillDatabase,
    PauseCompanion,
    Database,
}

/// With one companion.
const ALONE: [Kind; 2] = [Kind::KillCompanion, Kind::Guests];
/// With several, and a database.
const SHARED: [Kind; 5] =
    [Kind::KillCompanion, Kind::Guests, Kind::KillDatabase, Kind::PauseCompanion, Kind::Database];

/// Each kind comes once, in this order; all others are drawn. The first weather of guests is a cut.
pub(crate) fn schedule(seed: u64, guests: usize, faults: usize, companions: usize) -> Vec<Due> {
    let kinds: &[Kind] = if companions == 1 { &ALONE } else { &SHARED };
    let mut random = Random::new(seed.rotate_left(17));
    let mut below = |count: usize| usize::try_from(random.number() % count as u64).unwrap_or_default();
    let mut due = Vec::new();
    for number in 0..faults {
        let drawn = below(kinds.len());
        let kind = kinds.get(number).copied().unwrap_or(kinds[drawn]);
        let one = below(companions);
        let lasts = Duration::from_millis(300 + below(2200) as u64);
        let late = Duration::from_millis(20 + below(180) as u64);
        let weathers = [Weather::Cut, Weather::Slow(late), Weather::Torn, Weather::Silent];
        let weather = weathers[if number == 1 { 0 } else { below(weathers.len()) }];
        let fault = match kind {
            Kind::KillCompanion => Fault::KillCompanion(one, lasts),
            Kind::Guests => Fault::Guests(one, weather, lasts),
            Kind::KillDatabase => Fault::KillDatabase(lasts),
            Kind::PauseCompanion => Fault::PauseCompanion(one, lasts + BEYOND_LEASES),
            Kind::Database => Fault::Database(one, weather, lasts),
        };
        // From a twentieth to nine tenths of the fleet.
        due.push(Due { ended: guests / 20 + guests * 17 / 20 * number / faults, fault });
    }
    due
}

/// A companion's leases and their grace are over after so long.
const BEYOND_LEASES: Duration = Duration::from_secs(5);

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

#[cfg(test)]
mod tests {
    #[test]
    fn a_seed_gives_the_same_faults_and_the_first_ones_are_of_every_kind() {
        let told = |seed, companions| {
            let due = super::schedule(seed, 1000, 8, companions);
            due.into_iter().map(|due| format!("{} {:?}", due.ended, due.fault)).collect::<Vec<_>>()
        };
        assert_eq!(told(1, 3), told(1, 3));
        assert_ne!(told(1, 3), told(2, 3));
        for (companions, kinds) in [
            (1, &["KillCompanion", "Guests(0, Cut"][..]),
            (3, &["KillCompanion", "Guests(", "KillDatabase", "PauseCompanion", "Database("][..]),
        ] {
            let told = told(7, companions);
            assert!(kinds.iter().zip(&told).all(|(kind, told)| told.contains(kind)), "{told:#?}");
        }
    }
}
