//! Users, and strangers who ask to become one.

use chrono::{DateTime, Utc};

use super::{AccessRequestId, UserId, UserRole};

/// A person who may use the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The directory's object id, or `pending-` and a UUID until the first sign-in.
    pub id: UserId,
    /// The e-mail address.
    pub email: String,
    /// The display name.
    pub name: String,
    /// What the user may do.
    pub role: UserRole,
    /// Whether the user may sign in.
    pub enabled: bool,
    /// Preference: dark colours.
    pub dark_mode: bool,
    /// Preference: rows per page (10 to 100).
    pub page_size: u8,
    /// When the user was registered.
    pub created_at: DateTime<Utc>,
    /// When the user last changed.
    pub updated_at: DateTime<Utc>,
    /// The last sign-in.
    pub last_login: Option<DateTime<Utc>>,
    /// The administrator who registered the user.
    pub created_by: Option<String>,
}

impl User {
    /// Tells whether the user was registered and has not signed in since.
    pub fn is_pending(&self) -> bool {
        is_pending(&self.id)
    }

    /// Tells whether this is somebody's e-mail address; case does not matter.
    pub fn has_email(&self, email: &str) -> bool {
        same_email(&self.email, email)
    }
}

/// Tells whether two e-mail addresses are the same; case does not matter.
pub fn same_email(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

/// How ids begin until their users have signed in.
const PENDING: &str = "pending-";

/// Tells whether an id is one of a user who has not signed in yet.
pub fn is_pending(id: &UserId) -> bool {
    id.as_str().starts_with(PENDING)
}

/// Makes the id of a user who has not signed in yet. The same address always gives the same id, so that
/// nobody is registered twice at the same time.
pub fn pending_id(email: &str) -> UserId {
    let derived = UserId::derived(&["registered", &email.to_lowercase()]);
    // A UUID with a prefix of letters is an identifier.
    format!("{PENDING}{derived}").parse().unwrap_or(derived)
}

/// A stranger's wish for access.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessRequest {
    /// Identifies the request.
    pub id: AccessRequestId,
    /// The verified e-mail address.
    pub email: String,
    /// The verified name.
    pub name: String,
    /// The directory's object id.
    pub azure_ad_id: String,
    /// When it was made.
    pub requested_at: DateTime<Utc>,
    /// What became of it.
    pub resolution: Resolution,
}

/// What became of an access request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// Nothing yet.
    Pending,
    /// Granted.
    Approved {
        /// When.
        at: Option<DateTime<Utc>>,
        /// By whom.
        by: Option<String>,
    },
    /// Refused.
    Rejected {
        /// When.
        at: Option<DateTime<Utc>>,
        /// By whom.
        by: Option<String>,
        /// Why.
        reason: Option<String>,
    },
}
