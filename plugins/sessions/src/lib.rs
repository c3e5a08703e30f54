//! Sessions: what a user does until nothing comes for a while.

use dshost_guest::prelude::*;
use serde::{Deserialize, Serialize};

/// A session so far, or as it was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Session {
    /// Batch times of its first and last click, in milliseconds.
    from: i64,
    to: i64,
    clicks: u32,
    /// The page that was seen last.
    page: String,
}

/// A click, `USER PAGE`, by its user.
#[map]
fn by_user(click: &str) -> Result<(&str, &str), &'static str> {
    click.trim().split_once(' ').ok_or("a click is `USER PAGE`")
}

/// Follows each user; the session that times out is the output.
#[map_with_state]
fn session(
    user: &str,
    page: Option<&str>,
    state: &mut State<Session>,
    context: &Context,
) -> Option<(String, Session)> {
    let Some(page) = page else {
        return state.get().map(|ended| (user.to_owned(), ended.clone()));
    };
    let now = context.batch_time_ms;
    let (from, clicks) = state
        .get()
        .map_or((now, 0), |open| (open.from, open.clicks));
    state.update(Session {
        from,
        to: now,
        clicks: clicks + 1,
        page: page.to_owned(),
    });
    None
}

plugin!(by_user, session);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_click_has_a_user_and_a_page() {
        assert_eq!(by_user("ann /cart?a=1 b"), Ok(("ann", "/cart?a=1 b")));
        assert!(by_user("ann").is_err());
    }
}
