//! The database brought up to date alone.

use super::{
    super::super::{maintenance::*, tests::Place},
    server::Database,
    *,
};

/// A database as the first build left it.
async fn old() -> Place {
    let database = Database::new();
    let session = connect::Settings::new(&database.config()).unwrap().connect().await.unwrap();
    schema::migrate(&session, "test", &schema::MIGRATIONS[..1]).await.unwrap();
    Place::Database(database)
}

fn parts(place: &Place) -> (StorePlace, &Database) {
    let Place::Database(database) = place else { panic!("a database") };
    (StorePlace::Postgres(database.config()), database)
}

#[tokio::test]
async fn it_is_migrated_when_nobody_uses_it() {
    if !server::is_here() {
        return;
    }
    let old = old().await;
    let (place, database) = parts(&old);
    let known = schema::MIGRATIONS.len() as i64;
    let before = SchemaVersion { found: 1, known };
    assert_eq!(place.schema().await.unwrap(), before);
    let error = place.check(0).await.unwrap_err();
    assert!(matches!(error, MaintenanceError::Older { found: 1, .. }), "{error}");
    let user = connect::Settings::new(&database.config()).unwrap().connect().await.unwrap();
    let error = place.migrate(true).await.unwrap_err();
    assert!(
        matches!(&error, MaintenanceError::InUse { who, .. } if who.contains("server process")),
        "{error}"
    );
    assert_eq!(place.schema().await.unwrap(), before);
    user.run("SELECT pg_terminate_backend(pg_backend_pid())").await.unwrap_err();
    assert_eq!(place.migrate(true).await.unwrap(), Migrated { schema: before, backup: None });
    assert_eq!(place.migrate(true).await.unwrap().schema, SchemaVersion { found: known, known });
    assert!(place.check(0).await.unwrap().is_clean());
}

#[tokio::test]
async fn a_newer_one_is_refused_and_left_alone() {
    if !server::is_here() {
        return;
    }
    let old = old().await;
    let (place, database) = parts(&old);
    database.psql("UPDATE relay.store SET version = 99");
    let newer = |error| {
        assert!(matches!(error, MaintenanceError::Store(StoreError::Newer { found: 99, .. })), "{error}")
    };
    newer(place.schema().await.unwrap_err());
    newer(place.migrate(true).await.unwrap_err());
    newer(place.check(0).await.unwrap_err());
    newer(place.export(None, &mut Vec::new(), &mut |_| {}).await.unwrap_err());
    let header = "{\"relay_store_export\":1,\"epoch\":1}\n";
    newer(place.import(None, &mut header.as_bytes(), &mut |_| {}).await.unwrap_err());
    assert_eq!(database.psql("SELECT version FROM relay.store"), "99");
}

/// What the database itself does not vouch for.
#[tokio::test]
async fn an_invalid_index_is_found() {
    if !server::is_here() {
        return;
    }
    let place = Place::new(super::super::super::tests::Kind::Postgres);
    place.open().await.store().close().await;
    let (place, database) = parts(&place);
    assert!(place.check(0).await.unwrap().is_clean());
    database.psql("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'relay.jobs_closed'::regclass");
    let found = place.check(0).await.unwrap().problems;
    assert!(found.len() == 1 && found[0].row == "jobs_closed", "{found:?}");
    database.psql("UPDATE pg_index SET indisvalid = true WHERE indexrelid = 'relay.jobs_closed'::regclass");
}
