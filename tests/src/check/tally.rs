//! Adding up what the test programs counted.

/// Tests that passed and failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub passed: u64,
    pub failed: u64,
}

impl Tally {
    /// Sums the `test result:` lines in the output of `cargo test`.
    pub fn of(output: &str) -> Self {
        let mut tally = Self::default();
        for line in output.lines().filter(|line| line.starts_with("test result:")) {
            tally.passed += count(line, " passed");
            tally.failed += count(line, " failed");
        }
        tally
    }

    pub fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

fn count(line: &str, what: &str) -> u64 {
    let before = line.split(what).next().unwrap_or_default();
    before.rsplit([' ', ';']).next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_lines_of_all_programs_are_summed() {
        let output = "running 2 tests\ntest a ... ok\n\
            test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
            test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s\n";
        assert_eq!(Tally::of(output), Tally { passed: 15, failed: 2 });
        assert_eq!(Tally::of("nothing"), Tally::default());
    }
}
