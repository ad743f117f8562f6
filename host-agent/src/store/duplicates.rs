//! Identities that two guests share, or shared once, and guests that somebody copied. One walk over the index of identities, whatever the page.

use std::collections::BTreeMap;

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

use super::error::failed;
use super::lists::page;
use super::query::Query;
use super::rows::{text, unsigned};
use super::{Store, StoreError};

/// Of one identity, so many holders are told; the others are counted.
const HOLDERS: usize = 20;

/// An identity that more than one guest has told, a claim that was used from more than one place, or a guest as which a copy
/// of it has reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedRow {
    pub kind: String,
    pub value: String,
    /// Two that are there now share it.
    pub open: bool,
    /// Those that are there first.
    pub holders: Vec<HolderRow>,
    /// How many there are in all.
    pub holder_count: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HolderRow {
    pub guest: String,
    pub job: String,
    /// The guest is no more.
    pub gone: bool,
    /// Of a claim and of a copy: from where somebody used it, or reported.
    pub source: Option<String>,
}

/// One page, open ones first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SharedPage {
    pub rows: Vec<SharedRow>,
    pub open: u64,
    pub total: u64,
    /// What to ask for the next page with.
    pub next: Option<String>,
}

/// Which of them to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SharedFilter {
    /// 0: as many as a page has; at most 1000.
    pub limit: usize,
    /// `next` of the page before.
    pub before: Option<String>,
}

impl SharedFilter {
    /// Whether this can be the end of a page.
    pub fn is_place(text: &str) -> bool {
        place(text).is_some()
    }
}

/// One row for each identity with two guests or more, for each claim that was used again from elsewhere, and for each guest
/// whose host key signed a report of somebody else. Of all identities only jobs are counted; guests are compared where there are several. A claim whose report the hypervisor showed has no address
/// to compare with.
const SHARED: &str = "\
    SELECT i.kind, i.value, CAST(CASE WHEN min(CASE WHEN i.retired = 0 THEN i.guest END) \
        <> max(CASE WHEN i.retired = 0 THEN i.guest END) THEN 1 ELSE 0 END AS BIGINT) AS is_open \
    FROM (SELECT kind, value FROM identities GROUP BY kind, value HAVING count(*) > 1) AS many \
    JOIN identities i ON i.kind = many.kind AND i.value = many.value \
    GROUP BY i.kind, i.value HAVING min(i.guest) <> max(i.guest) \
    UNION ALL \
    SELECT 'claim', r.claim_id, CAST(max(CASE WHEN j.id IS NULL THEN 0 ELSE 1 END) AS BIGINT) \
    FROM refusals r JOIN reports p ON p.claim_id = r.claim_id LEFT JOIN jobs j ON j.id = r.job AND j.live = 1 \
    WHERE r.code IN ('claim-used', 'replayed') AND p.source <> r.source AND p.source <> 'hypervisor' GROUP BY r.claim_id \
    UNION ALL \
    SELECT 'copy', r.guest, CAST(max(CASE WHEN j.id IS NULL THEN 0 ELSE 1 END) AS BIGINT) \
    FROM refusals r LEFT JOIN jobs j ON j.id = r.job AND j.live = 1 \
    WHERE r.code = 'copied-guest' AND r.guest IS NOT NULL GROUP BY r.guest";

impl Store {
    /// Open ones first, then by kind and value.
    pub async fn shared_identities(&self, filter: &SharedFilter) -> Result<SharedPage, StoreError> {
        let mut query = Query::new(format!(
            "SELECT kind, value, is_open, open_count, total FROM (SELECT kind, value, is_open, \
             CAST(sum(is_open) OVER () AS BIGINT) AS open_count, CAST(count(*) OVER () AS BIGINT) AS total \
             FROM ({SHARED}) AS shared) AS counted WHERE 1 = 1"
        ));
        if let Some((open, kind, value)) = filter.before.as_deref().and_then(place) {
            query.number(" AND (is_open < ", open);
            query.number(" OR (is_open = ", open);
            query.text(" AND (kind > ", &kind);
            query.text(" OR (kind = ", &kind);
            query.text(" AND value > ", &value);
            query.push("))))");
        }
        let limit = page(filter.limit);
        query.push(&format!(" ORDER BY is_open DESC, kind, value LIMIT {}", limit + 1));
        let mut rows = query.fetch(&mut *self.database.reader().await?, "look for shared identities").await?;
        let counts = rows.first().map(|row| (unsigned(row.get(3)), unsigned(row.get(4))));
        let more = rows.len() > limit;
        rows.truncate(limit);
        let mut shared: Vec<SharedRow> = rows.iter().map(read).collect();
        let next = shared.last().filter(|_| more).map(mark);
        self.add_holders(&mut shared).await?;
        self.add_claims(&mut shared).await?;
        self.add_copies(&mut shared).await?;
        let (open, total) = counts.unwrap_or_default();
        Ok(SharedPage { rows: shared, open, total, next })
    }

    async fn add_holders(&self, shared: &mut [SharedRow]) -> Result<(), StoreError> {
        let pairs: Vec<(&str, &str)> = shared.iter().map(|row| (&*row.kind, &*row.value)).collect();
        let look = format!(
            "SELECT kind, value, guest, job, retired, holders FROM (SELECT i.kind, i.value, i.guest, i.job, i.retired, \
             CAST(count(*) OVER (PARTITION BY i.kind, i.value) AS BIGINT) AS holders, \
             row_number() OVER (PARTITION BY i.kind, i.value ORDER BY i.retired, i.job) AS place \
             FROM {} CROSS JOIN identities i WHERE i.kind = pair.kind AND i.value = pair.value) AS held \
             WHERE place <= {HOLDERS} ORDER BY kind, value, place",
            self.database.dialect().text_pairs("$1")
        );
        let rows = sqlx::query(AssertSqlSafe(look))
            .bind(text("identities", &pairs)?)
            .fetch_all(&mut *self.database.reader().await?)
            .await
            .map_err(failed("look for the holders of identities"))?;
        let mut held: BTreeMap<(String, String), (u64, Vec<HolderRow>)> = BTreeMap::new();
        for row in &rows {
            let one = held.entry((row.get(0), row.get(1))).or_default();
            one.0 = unsigned(row.get(5));
            let gone = row.get::<i64, _>(4) != 0;
            one.1.push(HolderRow { guest: row.get(2), job: row.get(3), gone, source: None });
        }
        for row in shared.iter_mut() {
            if let Some((count, holders)) = held.remove(&(row.kind.clone(), row.value.clone())) {
                (row.holder_count, row.holders) = (count, holders);
            }
        }
        Ok(())
    }

    /// Of a claim: the guest that it was given to, and from where it was used again.
    async fn add_claims(&self, shared: &mut [SharedRow]) -> Result<(), StoreError> {
        let claims: Vec<&str> =
            shared.iter().filter(|row| row.kind == CLAIM).map(|row| &*row.value).collect();
        if claims.is_empty() {
            return Ok(());
        }
        let look = format!(
            "SELECT p.claim_id, p.guest, p.job, p.source, r.source FROM reports p JOIN refusals r ON r.claim_id = p.claim_id \
             WHERE p.claim_id IN {} AND r.code IN ('claim-used', 'replayed') AND p.source <> r.source \
             GROUP BY p.claim_id, p.guest, p.job, p.source, r.source ORDER BY p.claim_id, r.source LIMIT 5000",
            self.database.dialect().texts("$1")
        );
        let rows = sqlx::query(AssertSqlSafe(look))
            .bind(text("claims", &claims)?)
            .fetch_all(&mut *self.database.reader().await?)
            .await
            .map_err(failed("look for the users of claims"))?;
        for row in &rows {
            let (claim, guest, job): (String, String, String) = (row.get(0), row.get(1), row.get(2));
            let Some(one) = shared.iter_mut().find(|one| one.kind == CLAIM && one.value == claim) else {
                continue;
            };
            let gone = !one.open;
            let holder = |source: String| HolderRow {
                guest: guest.clone(),
                job: job.clone(),
                gone,
                source: Some(source),
            };
            if one.holders.is_empty() {
                one.holders.push(holder(row.get(3)));
                one.holder_count += 1;
            }
            one.holder_count += 1;
            if one.holders.len() < HOLDERS {
                one.holders.push(holder(row.get(4)));
            }
        }
        Ok(())
    }

    /// Of a copy: the guest that was copied, and from where its copies reported.
    async fn add_copies(&self, shared: &mut [SharedRow]) -> Result<(), StoreError> {
        let guests: Vec<&str> = shared.iter().filter(|row| row.kind == COPY).map(|row| &*row.value).collect();
        if guests.is_empty() {
            return Ok(());
        }
        let look = format!(
            "SELECT r.guest, r.job, r.source FROM refusals r \
             WHERE r.code = 'copied-guest' AND r.guest IN {} GROUP BY r.guest, r.job, r.source \
             ORDER BY r.guest, r.job DESC, r.source LIMIT 5000",
            self.database.dialect().texts("$1")
        );
        let rows = sqlx::query(AssertSqlSafe(look))
            .bind(text("guests", &guests)?)
            .fetch_all(&mut *self.database.reader().await?)
            .await
            .map_err(failed("look for the copies of guests"))?;
        for row in &rows {
            let (guest, job): (String, String) = (row.get(0), row.get(1));
            let Some(one) = shared.iter_mut().find(|one| one.kind == COPY && one.value == guest) else {
                continue;
            };
            let gone = !one.open;
            let holder = |source| HolderRow { guest: guest.clone(), job: job.clone(), gone, source };
            if one.holders.is_empty() {
                one.holders.push(holder(None));
                one.holder_count += 1;
            }
            one.holder_count += 1;
            if one.holders.len() < HOLDERS {
                one.holders.push(holder(Some(row.get(2))));
            }
        }
        Ok(())
    }
}

/// The kind of a claim that was used again.
const CLAIM: &str = "claim";
/// The kind of a guest that was copied; its value is the guest's name.
const COPY: &str = "copy";

fn read(row: &AnyRow) -> SharedRow {
    SharedRow {
        kind: row.get(0),
        value: row.get(1),
        open: row.get::<i64, _>(2) != 0,
        holders: Vec::new(),
        holder_count: 0,
    }
}

/// Where a page ended. Values are a guest's word, so they are written in hexadecimal digits.
fn mark(row: &SharedRow) -> String {
    format!("{}.{}.{}", u8::from(row.open), row.kind, hex::encode(&row.value))
}

fn place(mark: &str) -> Option<(i64, String, String)> {
    let (open, rest) = mark.split_once('.')?;
    let (kind, value) = rest.split_once('.')?;
    let open = open.parse().ok().filter(|open| (0..=1).contains(open))?;
    let known =
        !kind.is_empty() && kind.len() <= 40 && kind.chars().all(|c| c.is_ascii_lowercase() || c == '-');
    let value = String::from_utf8(hex::decode(value).ok()?).ok()?;
    known.then(|| (open, kind.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_what_a_page_ended_with() {
        let row = SharedRow {
            kind: "ssh-host-key".into(),
            value: "SHA256:x.y'ü".into(),
            open: true,
            holders: Vec::new(),
            holder_count: 0,
        };
        assert_eq!(place(&mark(&row)), Some((1, row.kind.clone(), row.value.clone())));
        for wrong in ["", "1", "1.mac", "2.mac.00", "1.MAC.00", "1.mac.0", "1..00", "x.mac.00", "1.mac.ff"] {
            assert!(!SharedFilter::is_place(wrong), "{wrong}");
        }
    }
}
