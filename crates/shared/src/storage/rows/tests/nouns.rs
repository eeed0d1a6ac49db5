//! Nouns of every shape, for properties that hold for all of them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value as Json};

use crate::models::{
    AccessRequest, AppSettings, Artifact, Attempt, AuditRecord, AuditStatus, AuthMethod, Backup,
    BackupPolicy, BackupState, CompressionFormat, Consistency, ContainerName, Credentials, Database,
    DatabaseType, DumpOptions, DumpProgress, Endpoint, Engine, EngineType, Failure, Globals, Host, Login,
    Marks, NamePattern, PlannedBlob, PolicyChoice, Resolution, Roles, Run, StoredSecret, Tier, TierConfig,
    TimeOfDay, Tls, TlsMode, TriggeredBy, User, UserName, UserRole,
};

/// Any text; an empty one counts as none in rows.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[ -~]{1,20}", Just("it's \"7\"".to_owned())]
        .prop_filter("none", |text| !text.is_empty())
}

/// Instants to the microsecond, from 1970 to 2100.
fn instant() -> impl Strategy<Value = DateTime<Utc>> {
    (0..4_102_444_800_000_000_i64).prop_map(|micros| DateTime::from_timestamp_micros(micros).unwrap())
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Debug> + std::fmt::Debug>(
    pattern: &'static str,
) -> impl Strategy<Value = T> {
    pattern.prop_map(|text| text.parse().unwrap())
}

fn id<T: std::str::FromStr<Err: std::fmt::Debug> + std::fmt::Debug>() -> impl Strategy<Value = T> {
    parsed("[A-Za-z0-9._-]{1,40}")
}

fn container() -> impl Strategy<Value = ContainerName> {
    parsed("[a-z0-9]{3,20}(-[a-z0-9]{1,20})?")
}

fn size() -> impl Strategy<Value = u64> {
    prop_oneof![1..5_000_u64, 2_147_483_647..4_294_967_297_u64, Just(u64::MAX >> 1)]
}

fn failure() -> impl Strategy<Value = Failure> {
    (text(), of(text())).prop_map(|(message, class)| Failure { message, class })
}

fn run() -> impl Strategy<Value = Run> {
    let ended = (instant(), 0.0..100_000.0_f64).prop_map(|(at, seconds)| (Some(at), Some(seconds)));
    (of(instant()), prop_oneof![Just((None, None)), ended])
        .prop_map(|(started_at, (finished_at, seconds))| Run { started_at, finished_at, seconds })
}

fn artifact() -> impl Strategy<Value = Artifact> {
    let globals = (text(), size(), "[0-9a-f]{64}").prop_map(|(blob_name, bytes, sha256)| Globals {
        blob_name,
        bytes,
        sha256,
    });
    let remarks = (of(select(Consistency::ALL)), vec(text(), 0..50), of(globals));
    (text(), of(text()), of(container()), of(size()), of(text()), of("[0-9a-f]{64}"), remarks).prop_map(
        |(blob_name, blob_url, container, bytes, format, sha256, (consistency, warnings, globals))| {
            Artifact {
                blob_name,
                blob_url,
                container,
                bytes,
                format,
                sha256,
                consistency,
                warnings: warnings.iter().collect(),
                globals,
            }
        },
    )
}

fn attempt() -> impl Strategy<Value = Attempt> {
    let planned = (container(), text()).prop_map(|(container, name)| PlannedBlob { container, name });
    (of(instant()), of(instant()), of(planned), size(), size()).prop_map(
        |(started_at, heartbeat_at, planned, dumped_bytes, uploaded_bytes)| Attempt {
            started_at,
            heartbeat_at,
            planned,
            progress: DumpProgress { dumped_bytes, uploaded_bytes },
        },
    )
}

fn state() -> impl Strategy<Value = BackupState> {
    prop_oneof![
        of(failure()).prop_map(|last_failure| BackupState::Pending { last_failure }),
        attempt().prop_map(BackupState::InProgress),
        (run(), of(artifact())).prop_map(|(run, artifact)| BackupState::Completed { run, artifact }),
        (run(), failure()).prop_map(|(run, failure)| BackupState::Failed { run, failure }),
        (run(), of(text())).prop_map(|(run, reason)| BackupState::Cancelled { run, reason }),
    ]
}

pub(super) fn backup() -> impl Strategy<Value = Backup> {
    let ids = (id(), id(), id());
    let kinds = (select(DatabaseType::ALL), select(TriggeredBy::ALL), of(select(Tier::ALL)));
    (ids, text(), kinds, instant(), 0..5_u32, state()).prop_map(
        |(
            (id, job_id, database_id),
            database_name,
            (database_type, triggered_by, tier),
            created_at,
            retry_count,
            state,
        )| {
            Backup {
                id,
                job_id,
                database_id,
                database_name,
                database_type,
                triggered_by,
                tier,
                created_at,
                retry_count,
                state,
                marks: Marks::default(),
            }
        },
    )
}

fn secret() -> impl Strategy<Value = StoredSecret> {
    prop_oneof![
        Just(StoredSecret::None),
        (text(), of(text())).prop_map(|(name, version)| StoredSecret::Named { name, version }),
        text().prop_map(StoredSecret::Sealed),
        text().prop_map(|secret| StoredSecret::Plain(secret.into())),
    ]
}

fn login() -> impl Strategy<Value = Login> {
    (of(select(AuthMethod::ALL)), of(parsed::<UserName>("[a-z@' ü]{1,20}")), secret())
        .prop_map(|(auth_method, username, password)| Login { auth_method, username, password })
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    (parsed::<Host>("[a-z0-9:.]{1,20}"), 1..=u16::MAX, tls()).prop_map(|(host, port, tls)| Endpoint {
        host,
        port,
        tls,
    })
}

fn tls() -> impl Strategy<Value = Tls> {
    let ca = "MIIB[A-Za-z0-9+/]{4,77}".prop_filter_map("whole groups of four", |body| {
        let whole = &body[..body.len() / 4 * 4];
        format!("-----BEGIN CERTIFICATE-----\n{whole}\n-----END CERTIFICATE-----").parse().ok()
    });
    (select(TlsMode::ALL), of(ca)).prop_map(|(mode, ca)| Tls { mode, ca })
}

fn options() -> impl Strategy<Value = DumpOptions> {
    let patterns = || proptest::collection::vec(parsed::<NamePattern>("[a-z*?.\"\\\\ü]{1,9}"), 0..3);
    (
        [patterns(), patterns(), patterns()],
        of(select(CompressionFormat::ALL)),
        of(1..=19_u8),
        [of(1..=1440_u16), of(1..=1440_u16)],
        any::<[bool; 3]>(),
        select(vec![Roles::LeftOut, Roles::WithoutPasswords, Roles::WithPasswords]),
    )
        .prop_map(|(patterns, compression_format, compression_level, timeouts, flags, roles)| {
            let [include_privileges, leave_out_permissions, strict] = flags;
            let [exclude_tables, exclude_table_data, include_schemas] = patterns;
            let [dump_timeout_minutes, stall_timeout_minutes] = timeouts;
            DumpOptions {
                exclude_tables,
                exclude_table_data,
                include_schemas,
                compression_format,
                compression_level,
                dump_timeout_minutes,
                stall_timeout_minutes,
                include_privileges,
                roles,
                leave_out_permissions,
                strict,
            }
        })
}

pub(super) fn database() -> impl Strategy<Value = Database> {
    let schedule = select(vec!["0 2 * * *", "*/15 8-17 * * 1-5", "CRON_TZ=Europe/Berlin 30 3 1 * *"]);
    let of_engine = (id(), prop_oneof![Just(Credentials::Engine), login().prop_map(Credentials::Own)])
        .prop_map(|(engine, credentials)| (Some(engine), credentials));
    let alone = login().prop_map(|login| (None, Credentials::Own(login)));
    let policy = prop_oneof![
        id().prop_map(|own| PolicyChoice { own: Some(own), from_engine: false }),
        of(id()).prop_map(|own| PolicyChoice { own, from_engine: true }),
    ];
    let names = (id(), text(), select(DatabaseType::ALL), endpoint(), parsed("[a-z'`; \"ü数]{1,20}"));
    let choices = (
        policy,
        of(schedule),
        of(1..=3650_u16),
        of(container()),
        btree_map(any::<String>(), any::<String>(), 0..4),
        options(),
    );
    (names, prop_oneof![of_engine, alone], choices, any::<[bool; 2]>(), (instant(), instant(), of(text())))
        .prop_map(
            |(
                names,
                (engine_id, credentials),
                choices,
                [enabled, compression],
                (created_at, updated_at, created_by),
            )| {
                let (id, name, database_type, endpoint, database_name) = names;
                let (policy, schedule, retention_days, backup_destination, tags, options): (
                    _,
                    Option<&str>,
                    _,
                    _,
                    BTreeMap<_, _>,
                    _,
                ) = choices;
                let schedule = schedule.map(|text| text.parse().unwrap());
                Database {
                    id,
                    name,
                    database_type,
                    endpoint,
                    database_name,
                    engine_id,
                    credentials,
                    policy,
                    enabled,
                    schedule,
                    retention_days,
                    backup_destination,
                    compression,
                    options,
                    tags,
                    created_at,
                    updated_at,
                    created_by,
                }
            },
        )
}

pub(super) fn engine() -> impl Strategy<Value = Engine> {
    let names = (id(), text(), select(EngineType::ALL), endpoint());
    let times = (of(instant()), instant(), instant());
    let policy = (of(id()), 1..=100_u16);
    (names, login(), secret(), policy, times, of(text())).prop_map(
        |((id, name, engine_type, endpoint), login, connection_string, policy, times, created_by)| {
            let (policy_id, max_concurrent_backups) = policy;
            let (last_discovery, created_at, updated_at) = times;
            Engine {
                id,
                name,
                engine_type,
                endpoint,
                login,
                connection_string,
                policy_id,
                max_concurrent_backups,
                last_discovery,
                created_at,
                updated_at,
                created_by,
            }
        },
    )
}

/// A tier whose members without a column have their defaults.
fn tier(hourly: bool, days: (bool, bool, bool)) -> impl Strategy<Value = TierConfig> {
    let time = (0..24_u8, 0..60_u8)
        .prop_map(|(hour, minute)| format!("{hour:02}:{minute:02}").parse::<TimeOfDay>().unwrap());
    (any::<bool>(), 0..=10_000_u32, 1..=12_u8, time, (0..=6_u8, 1..=28_u8, 1..=12_u8)).prop_map(
        move |(enabled, keep_count, interval_hours, time, (day_of_week, day_of_month, month))| {
            let mut tier = TierConfig { enabled, keep_count, ..TierConfig::default() };
            if hourly {
                tier.interval_hours = interval_hours;
            } else {
                tier.time = time;
            }
            let (weekly, monthly, yearly) = days;
            if weekly {
                tier.day_of_week = day_of_week;
            }
            if monthly || yearly {
                tier.day_of_month = day_of_month;
            }
            if yearly {
                tier.month = month;
            }
            tier
        },
    )
}

pub(super) fn policy() -> impl Strategy<Value = BackupPolicy> {
    let tiers = (
        tier(true, (false, false, false)),
        tier(false, (false, false, false)),
        tier(false, (true, false, false)),
        tier(false, (false, true, false)),
        tier(false, (false, false, true)),
    );
    let zone = select(&chrono_tz::TZ_VARIANTS[..]);
    (id(), text(), of(text()), (any::<bool>(), zone), tiers, instant(), instant()).prop_map(
        |(
            id,
            name,
            description,
            (is_system, time_zone),
            (hourly, daily, weekly, monthly, yearly),
            created_at,
            updated_at,
        )| {
            BackupPolicy {
                id,
                name,
                description,
                is_system,
                time_zone,
                hourly,
                daily,
                weekly,
                monthly,
                yearly,
                created_at,
                updated_at,
            }
        },
    )
}

pub(super) fn user() -> impl Strategy<Value = User> {
    let names = (id(), text(), text(), of(text()));
    (names, select(UserRole::ALL), any::<[bool; 2]>(), 10..=100_u8, (instant(), instant(), of(instant())))
        .prop_map(
            |(
                (id, email, name, created_by),
                role,
                [enabled, dark_mode],
                page_size,
                (created_at, updated_at, last_login),
            )| {
                User {
                    id,
                    email,
                    name,
                    role,
                    enabled,
                    dark_mode,
                    page_size,
                    created_at,
                    updated_at,
                    last_login,
                    created_by,
                }
            },
        )
}

pub(super) fn access_request() -> impl Strategy<Value = AccessRequest> {
    let resolution = prop_oneof![
        Just(Resolution::Pending),
        (of(instant()), of(text())).prop_map(|(at, by)| Resolution::Approved { at, by }),
        (of(instant()), of(text()), of(text())).prop_map(|(at, by, reason)| Resolution::Rejected {
            at,
            by,
            reason
        }),
    ];
    (id(), text(), text(), text(), instant(), resolution).prop_map(
        |(id, email, name, azure_ad_id, requested_at, resolution)| AccessRequest {
            id,
            email,
            name,
            azure_ad_id,
            requested_at,
            resolution,
        },
    )
}

pub(super) fn audit_record() -> impl Strategy<Value = AuditRecord> {
    let detail = prop_oneof![
        text().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<bool>().prop_map(Json::from),
        Just(Json::Null),
    ];
    let details =
        btree_map(text(), detail, 0..4).prop_map(|details| details.into_iter().collect::<Map<_, _>>());
    let who = (id(), text(), text(), of("[0-9a-f.:]{1,30}"));
    let what = (text(), text(), text(), text());
    (who, what, instant(), of(details), select(AuditStatus::ALL), of(text())).prop_map(
        |((id, user_id, user_email, ip_address), what, timestamp, details, status, error_message)| {
            let (action, resource_type, resource_id, resource_name) = what;
            AuditRecord {
                id,
                timestamp,
                user_id,
                user_email,
                action,
                resource_type,
                resource_id,
                resource_name,
                details,
                status,
                error_message,
                ip_address,
            }
        },
    )
}

pub(super) fn settings() -> impl Strategy<Value = AppSettings> {
    (any::<[bool; 3]>(), 1..=365_u16, instant()).prop_map(|(flags, default_retention_days, updated_at)| {
        AppSettings {
            dark_mode: flags[0],
            default_retention_days,
            default_compression: flags[1],
            access_requests_enabled: flags[2],
            updated_at,
        }
    })
}
