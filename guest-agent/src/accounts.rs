//! Numbers of users and groups, from the text of /etc/passwd and /etc/group themselves: getpwnam(3) kills a static program
//! in a foreign root.

/// The third field of the first line that begins with the name. Source: passwd(5), group(5).
pub(crate) fn find(text: &str, name: &str) -> Option<u32> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name).then(|| fields.nth(1)?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_either_file() {
        let text = "root:x:0:0:root:/root:/bin/bash\nodd\nwww-data:x:33:33::/var/www:/usr/sbin/nologin\n";
        assert_eq!(find(text, "root"), Some(0));
        assert_eq!(find(text, "www-data"), Some(33));
        assert_eq!(find(text, "www"), None);
        assert_eq!(find("adm:x:4:syslog\n", "adm"), Some(4));
    }
}
