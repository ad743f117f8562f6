//! From the OpenMetrics text to the older text format of Prometheus (0.0.4), which more programs read. Pure.
//!
//! There counters and infos are named with their suffix, an info is a gauge, and units and the end are not said.

/// `open`: as the encoder writes it, families in one piece.
pub(super) fn classic(open: &str) -> String {
    let mut text = String::with_capacity(open.len());
    let mut help = "";
    for line in open.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest;
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                other => ("", other),
            };
            let said = help.split_once(' ').map_or("", |(_, said)| said);
            text.push_str(&format!("# HELP {name}{suffix} {said}\n# TYPE {name}{suffix} {kind}\n"));
        } else if !line.starts_with('#') {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_their_suffix_and_nothing_is_left_of_units_and_the_end() {
        let open = "# HELP a_b The b.\n# TYPE a_b info\na_b_info{version=\"1\"} 1\n# HELP c Counts.\n# TYPE c counter\n\
                    c_total{x=\"# y\"} 3\n# HELP h_seconds Times.\n# TYPE h_seconds histogram\n# UNIT h_seconds seconds\n\
                    h_seconds_sum 0.5\n# EOF\n";
        let wanted = "# HELP a_b_info The b.\n# TYPE a_b_info gauge\na_b_info{version=\"1\"} 1\n# HELP c_total Counts.\n\
                      # TYPE c_total counter\nc_total{x=\"# y\"} 3\n# HELP h_seconds Times.\n\
                      # TYPE h_seconds histogram\nh_seconds_sum 0.5\n";
        assert_eq!(classic(open), wanted);
    }
}
