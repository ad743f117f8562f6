//! Whose a guest is: a line in its description, written in the same call that makes it.

/// Begins the line; the job's id follows.
const MARK: &str = "firstlight-job: ";

/// The description of a guest of this job, over what was there before us.
pub(super) fn stamped(job: &str, guest: &str) -> String {
    format!(
        "{guest}, made by Firstlight. The next line says whose it is: leave it as it is.\n\n{MARK}{job}\n"
    )
}

/// The line that says whose it is.
pub(super) fn line(job: &str) -> String {
    format!("{MARK}{job}")
}

/// The job that a description names. None: it is nobody's of ours.
pub(super) fn job_of(description: &str) -> Option<&str> {
    let job = description.lines().find_map(|line| line.trim().strip_prefix(MARK))?.trim();
    let is_id =
        !job.is_empty() && job.len() <= 64 && job.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    is_id.then_some(job)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_nothing_else_is() {
        assert_eq!(job_of(&stamped("0123abcd", "web-01")), Some("0123abcd"));
        assert_eq!(job_of("notes\r\nfirstlight-job: 77 \r\nmore"), Some("77"));
        for text in ["", "firstlight", "firstlight-job:", "firstlight-job: a b", "see firstlight-job: 77"] {
            assert_eq!(job_of(text), None, "{text}");
        }
    }
}
