//! Commands over all sequences: `KEYS` and `SCAN`.

use ticketd_core::name::Name;

use crate::error::ServiceError;
use crate::limits::LIST_PAGE_MAX;
use crate::resp::command::Scan;
use crate::resp::glob;
use crate::service::Service;

/// `SCAN` looks at this many names at least, whatever `COUNT` says: finding the place to go on
/// costs more than looking at a page.
const SCAN_PAGE_MIN: usize = 100;

/// All names that match `pattern`.
pub(crate) async fn keys(service: &Service, pattern: &[u8]) -> Result<Vec<Name>, ServiceError> {
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = service.names(after.as_ref(), LIST_PAGE_MAX).await?;
        let Some(last) = page.last() else {
            return Ok(found);
        };
        after = Some(last.clone());
        found.extend(page.into_iter().filter(|n| glob::matches(pattern, n.as_str().as_bytes())));
    }
}

/// A page of names and the cursor to go on with, 0 at the end.
///
/// The cursor is the number of names passed, in byte order. Sequences are never deleted, so a name
/// that was there when the scan began is never missed; one may come twice when others are created
/// meanwhile, as with redis-server.
pub(crate) async fn scan(
    service: &Service,
    scan: &Scan<'_>,
) -> Result<(u64, Vec<Name>), ServiceError> {
    let mut passed = 0;
    let mut after = None;
    let count = scan.count.clamp(SCAN_PAGE_MIN, LIST_PAGE_MAX);
    while passed < scan.cursor {
        let skip = usize::try_from(scan.cursor - passed).unwrap_or(usize::MAX).min(LIST_PAGE_MAX);
        let page = service.names(after.as_ref(), skip).await?;
        let Some(last) = page.last() else {
            return Ok((0, Vec::new()));
        };
        passed += page.len() as u64;
        after = Some(last.clone());
    }
    let mut page = service.names(after.as_ref(), count).await?;
    let next = if page.len() < count { 0 } else { passed + page.len() as u64 };
    let pattern = scan.pattern.unwrap_or(b"*");
    page.retain(|name| !scan.other_type && glob::matches(pattern, name.as_str().as_bytes()));
    Ok((next, page))
}
