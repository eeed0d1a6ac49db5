//! Who may change the way on which a secret is sent: to which server, how well protected, and by whose word
//! the server is known. Pure.
//!
//! What must stay true: a secret that is kept goes where it went before, protected no less, unless somebody
//! enters it again, who knows it anyway, or an administrator says so. A token of the directory, which nobody
//! can enter, goes by the word of authorities that an administrator has chosen, or the machine's own.

use secrecy::ExposeSecret as _;
use shared::connection_string::ConnectionString;
use shared::models::{AuthMethod, Authorities, Database, DatabaseType, Engine, Login, Tls, UserRole};

use crate::actor::Caller;
use crate::error::ApiError;
use crate::requests::database::Draft;
use crate::requests::engine::EngineDraft;

/// Refuses a new or changed database that would expose its secret on the word of somebody who may not know it.
pub(crate) fn check_database(
    caller: &Caller,
    before: Option<&Database>,
    draft: &Draft,
) -> Result<(), ApiError> {
    if caller.user.role == UserRole::Admin {
        return Ok(());
    }
    let after = &draft.database;
    let Some(login) = after.own_login() else { return Ok(()) };
    if let (Some(before), true, None) = (before, login.password.is_kept(), &draft.new_password) {
        let place = |database: &Database| {
            (database.database_type, database.endpoint.host.clone(), database.endpoint.port)
        };
        if place(before) != place(after) {
            return Err(ApiError::field(
                "password",
                "must be entered again for another server: only an administrator may move a database with the \
                 password that is stored",
            ));
        }
        check_kept(
            "password",
            &before.endpoint.tls,
            &after.endpoint.tls,
            before.endpoint.tls.mode.verifies(),
        )?;
    }
    let before = before.and_then(|before| Some((before.own_login()?, &before.endpoint.tls)));
    check_token(is_by_token(login), before, &after.endpoint.tls)
}

/// Refuses a new or changed engine that would expose its secrets on the word of somebody who may not know
/// them. Its server cannot be changed at all.
pub(crate) fn check_engine(
    caller: &Caller,
    before: Option<&Engine>,
    draft: &EngineDraft,
) -> Result<(), ApiError> {
    if caller.user.role == UserRole::Admin {
        return Ok(());
    }
    let (after, tls) = (&draft.engine, &draft.engine.endpoint.tls);
    if let Some(before) = before {
        let tls_before = &before.endpoint.tls;
        if after.login.password.is_kept() && draft.new_password.is_none() {
            check_kept("password", tls_before, tls, tls_before.mode.verifies())?;
        }
        if after.connection_string.is_kept() && draft.new_connection_string.is_none() {
            // It may itself ask for a server that proves who it is.
            check_kept("connection_string", tls_before, tls, true)?;
        }
    }
    let before = before.map(|before| (&before.login, &before.endpoint.tls));
    check_token(is_by_token(&after.login), before, tls)?;
    let text = draft.new_connection_string.as_ref();
    let by_directory = text.is_some_and(|text| {
        let kind = DatabaseType::from(after.engine_type);
        ConnectionString::parse(kind, text.expose_secret()).is_ok_and(|parsed| parsed.by_directory)
    });
    check_token(by_directory, None, tls)
}

/// Refuses a weaker connection for a secret that is kept. Other authorities weaken one on which the server's
/// certificate was looked at.
fn check_kept(member: &str, before: &Tls, after: &Tls, was_verified: bool) -> Result<(), ApiError> {
    if after.mode >= before.mode && !(was_verified && after.ca != before.ca) {
        return Ok(());
    }
    Err(ApiError::field(
        member,
        "must be entered again with a weaker tls_mode or another tls_ca: only an administrator may change these \
         with the one that is stored",
    ))
}

/// Refuses authorities for a token of the directory, unless they were there for one already.
fn check_token(is_by_token: bool, before: Option<(&Login, &Tls)>, after: &Tls) -> Result<(), ApiError> {
    let trusted: Option<&Authorities> =
        before.filter(|(login, _)| self::is_by_token(login)).and_then(|(_, tls)| tls.ca.as_ref());
    if !is_by_token || after.ca.as_ref() == trusted {
        return Ok(());
    }
    Err(ApiError::field(
        "tls_ca",
        "decides who gets the token that is sent in place of a password: only an administrator may choose it \
         for managed_identity and azure_ad",
    ))
}

fn is_by_token(login: &Login) -> bool {
    matches!(login.auth_method, Some(AuthMethod::ManagedIdentity | AuthMethod::AzureAd))
}
