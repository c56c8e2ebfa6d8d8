<?php
/**
 * What happens without a visitor: events that wait are run, the outbox is sent, old rows go.
 *
 * @package Room_Server
 */

defined( 'ABSPATH' ) || exit;

/** Seconds that one run by cron may spend on events, and as many on the outbox. */
const ROOM_SERVER_CRON_SECONDS = 20;

/** Each cron hook and how often it runs. */
const ROOM_SERVER_CRON = array(
	'room_server_every_minute' => 'room_server_minute',
	'room_server_every_day'    => 'daily',
);

add_filter( 'cron_schedules', 'room_server_cron_schedules' );
add_action( 'init', 'room_server_keep_cron' );
add_action( 'room_server_every_minute', 'room_server_work' );
add_action( 'room_server_soon', 'room_server_work' );
add_action( 'room_server_every_day', 'room_server_purge' );

/**
 * Add the interval of a minute.
 *
 * @param array<string, array> $schedules WordPress' intervals.
 * @return array<string, array>
 */
function room_server_cron_schedules( $schedules ) {
	$schedules['room_server_minute'] = array(
		'interval' => MINUTE_IN_SECONDS,
		'display'  => __( 'Every minute (Room Server)', 'room-server' ),
	);
	return $schedules;
}

/**
 * Put the cron hooks back that are missing, whoever removed them.
 */
function room_server_keep_cron() {
	foreach ( ROOM_SERVER_CRON as $hook => $interval ) {
		if ( ! wp_next_scheduled( $hook ) ) {
			wp_schedule_event( time(), $interval, $hook );
		}
	}
}

/**
 * Remove all cron hooks.
 */
function room_server_remove_cron() {
	foreach ( array_keys( ROOM_SERVER_CRON + array( 'room_server_soon' => '' ) ) as $hook ) {
		wp_unschedule_hook( $hook );
	}
}

/**
 * Run the events that wait and send what waits. Two at a time do no harm: see `in/run.php` and `out/send.php`.
 */
function room_server_work() {
	room_server_run_events( ROOM_SERVER_CRON_SECONDS );
	room_server_send( ROOM_SERVER_CRON_SECONDS );
}

/**
 * Let cron work now, in a request of its own, unless the site's owner runs cron in another way.
 */
function room_server_work_soon() {
	wp_cache_delete( 'alloptions', 'options' ); // Whatever other requests have done to cron since this one began.
	wp_cache_delete( '_transient_doing_cron', 'options' );
	if ( ! wp_next_scheduled( 'room_server_soon' ) ) {
		wp_schedule_single_event( time(), 'room_server_soon' );
	}
	if ( ! ( defined( 'DISABLE_WP_CRON' ) && DISABLE_WP_CRON ) && ! wp_doing_cron() ) {
		spawn_cron();
	}
}
