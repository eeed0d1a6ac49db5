"""Puts one thing of each kind into the account of scripts/fuzz, and prints what they are called.

    fuzz_seed.py API BLOB_ENDPOINT TABLE_ENDPOINT ACCOUNT KEY

Without it most made-up requests would end at "there is no such thing". Configurations come in through the
API; a completed backup, which only a processor makes, is written into the storage account.
"""

import base64
import datetime
import hashlib
import hmac
import json
import sys
import urllib.request

api, blobs, tables, account, key = sys.argv[1:]


def call(method, url, body=None, headers=()):
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    headers = {"content-type": "application/json", "accept": "application/json", **dict(headers)}
    request = urllib.request.Request(url, data=data, method=method, headers=headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        text = answer.read()
    return json.loads(text) if text else {}


def signed(scheme, text):
    digest = hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()
    return f"{scheme} {account}:{base64.b64encode(digest).decode()}"


def store(endpoint, path, method, body, headers, blob):
    """Calls the storage account; the emulator takes the short form of signatures for tables alone."""
    date = datetime.datetime.now(datetime.timezone.utc).strftime("%a, %d %b %Y %H:%M:%S GMT")
    headers = {"x-ms-date": date, "x-ms-version": "2021-12-02", **headers}
    resource = f"/{account}/{account}/{path}"
    if blob:
        named = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers) if name.startswith("x-ms-"))
        blank = "\n" * 7
        text = f"{method}\n\n\n{len(body)}\n\napplication/json{blank}{named}{resource}"
        authorization = signed("SharedKey", text)
    else:
        authorization = signed("SharedKeyLite", f"{date}\n{resource}")
    call(method, f"{endpoint}/{path}", body, {**headers, "authorization": authorization})


server = {"engine_type": "mysql", "port": 9, "username": "root", "password": "pw"}
engine = call("POST", f"{api}/engines", {**server, "name": "Server", "host": "127.9.9.1", "discover_databases": False})
engine = engine["engine"]["id"]
database = {"name": "Shop", "database_type": "mysql", "host": "127.9.9.1", "port": 9, "database_name": "shop"}
call("POST", f"{api}/databases", {**database, "id": "seed-db", "username": "u", "password": "pw", "engine_id": engine})
policy = call("POST", f"{api}/backup-policies", {"name": "Seed"})["policy"]["id"]
user = call("POST", f"{api}/users", {"email": "seed@example.org", "role": "viewer"})["user"]["id"]

now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0) - datetime.timedelta(minutes=5)
ticks = 3155378975999999999 - int(now.timestamp()) * 10**7
blob = f"mysql/seed-db/{now:%Y%m%d_%H%M%S}.sql.gz"
store(blobs, f"backups/{blob}", "PUT", b"x", {"x-ms-blob-type": "BlockBlob"}, True)
row = {
    "PartitionKey": f"{now:%Y-%m-%d}", "RowKey": f"{ticks:019}_seed-backup", "job_id": "seed-job",
    "database_id": "seed-db", "database_name": "Shop", "database_type": "mysql", "status": "completed",
    "created_at": now.isoformat(), "started_at": now.isoformat(), "completed_at": now.isoformat(),
    "duration_seconds": 1.5, "blob_name": blob, "file_size_bytes": 1, "file_format": "sql.gz", "retry_count": 0,
    "triggered_by": "manual", "tier": "",
}
store(tables, "backuphistory", "POST", row, {}, False)
request = {
    "PartitionKey": "access_requests", "RowKey": "seed-request", "email": "abe@example.org", "name": "Abe",
    "azure_ad_id": "oid-abe", "status": "pending", "requested_at": now.isoformat(),
}
store(tables, "accessrequests", "POST", request, {}, False)
print(json.dumps({
    "databases": "seed-db", "engines": engine, "backup-policies": policy, "users": user, "backups": "seed-backup",
    "access-requests": "seed-request", "blob_name": blob,
}))
