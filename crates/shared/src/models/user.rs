//! Users, and strangers who ask to become one.

use chrono::{DateTime, Utc};

use super::{UserId, UserRole};

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

/// A stranger's wish for access.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessRequest {
    /// Identifies the request.
    pub id: String,
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
