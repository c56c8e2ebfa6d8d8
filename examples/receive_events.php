<?php
/*
 * Receive the events of a room server over HTTP, and keep each of them once. See docs/site-events.md.
 *
 *     ROOM_SERVER_SITE_EVENTS_SECRET=whsec_… EVENTS_DATABASE=events.db php -S 127.0.0.1:8080 examples/receive_events.php
 *
 * Each event is stored by its id before the answer; put your own work into `handle_event`, which runs once for each.
 * Needs PHP 7.4 or newer with PDO and SQLite. Behind Apache or nginx this file is an ordinary script.
 */

declare(strict_types=1);

const TOLERANCE = 300; // seconds by which the time of a request may be off

/** Your own work, in the order of the events. What takes long belongs into a job that reads the table. */
function handle_event(array $event): void
{
    error_log($event['type'] . ' ' . $event['id']);
}

/** Whether one of the secrets signed this id, time and body, and the time is about now (Standard Webhooks). */
function is_genuine(array $headers, string $body, array $secrets): bool
{
    $id = $headers['HTTP_WEBHOOK_ID'] ?? '';
    $stamp = $headers['HTTP_WEBHOOK_TIMESTAMP'] ?? '';
    if (!ctype_digit($stamp) || abs(time() - (int) $stamp) > TOLERANCE) {
        return false;
    }
    foreach ($secrets as $secret) {
        $key = base64_decode(substr($secret, strlen('whsec_')));
        $expected = 'v1,' . base64_encode(hash_hmac('sha256', "$id.$stamp.$body", $key, true));
        foreach (explode(' ', $headers['HTTP_WEBHOOK_SIGNATURE'] ?? '') as $given) {
            if (hash_equals($expected, $given)) {
                return true;
            }
        }
    }
    return false;
}

/** Store all of them or none; those that were not there before. */
function store_events(PDO $database, array $events): array
{
    $new = [];
    $database->beginTransaction();
    $insert = $database->prepare('INSERT OR IGNORE INTO events (id, type, event) VALUES (?, ?, ?)');
    foreach ($events as $event) {
        $insert->execute([$event['id'], $event['type'], json_encode($event)]);
        if ($insert->rowCount() > 0) {
            $new[] = $event;
        }
    }
    $database->commit();
    return $new;
}

$body = (string) file_get_contents('php://input');
$secrets = array_filter(explode(' ', (string) getenv('ROOM_SERVER_SITE_EVENTS_SECRET')));
if (!is_genuine($_SERVER, $body, $secrets)) {
    http_response_code(401);
    exit;
}
$database = new PDO('sqlite:' . (getenv('EVENTS_DATABASE') ?: 'events.db'));
$database->setAttribute(PDO::ATTR_ERRMODE, PDO::ERRMODE_EXCEPTION);
$database->exec('PRAGMA busy_timeout = 5000');
$database->exec(
    'CREATE TABLE IF NOT EXISTS events (number INTEGER PRIMARY KEY, id TEXT UNIQUE, type TEXT, event TEXT)'
);
$new = store_events($database, json_decode($body, true, 64, JSON_THROW_ON_ERROR)['data']['events']);
http_response_code(204);
foreach ($new as $event) {
    handle_event($event);
}
