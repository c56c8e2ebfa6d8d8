<?php
/**
 * "Test the connection": both directions, and whatever is found told in one sentence.
 *
 * The site sends `core_site_check` with a nonce; the server's worker tells the nonce back as an event. The page asks for
 * it once a second, because the answer comes in by another request.
 *
 * @package Room_Server
 */

defined( 'ABSPATH' ) || exit;

/** Seconds that the page waits for the event. */
const ROOM_SERVER_CHECK_SECONDS = 30;

/** Seconds by which the two clocks may differ before somebody is told. */
const ROOM_SERVER_CLOCK_WARNING = 60;

add_action( 'wp_ajax_room_server_check', 'room_server_answer_check' );
add_action( 'wp_ajax_room_server_heard', 'room_server_answer_heard' );

/**
 * Show the button and the places for its results.
 */
function room_server_show_check() {
	$url = plugins_url( 'assets/check.js', ROOM_SERVER_FILE );
	wp_enqueue_script( 'room-server-check', $url, array(), ROOM_SERVER_VERSION, true );
	$words = array(
		'url'     => admin_url( 'admin-ajax.php' ),
		'nonce'   => wp_create_nonce( 'room_server_check' ),
		'seconds' => ROOM_SERVER_CHECK_SECONDS,
		'asking'  => __( 'Asking the server …', 'room-server' ),
		'waiting' => __( 'Waiting for the server’s event …', 'room-server' ),
		'failed'  => __( 'This site did not answer its own page. Please reload it and try again.', 'room-server' ),
	);
	wp_localize_script( 'room-server-check', 'roomServerCheck', $words );
	printf(
		'<h2>%s</h2><p><button type="button" class="button" id="room-server-check">%s</button></p>
		<p data-direction="out" aria-live="polite"></p><p data-direction="in" aria-live="polite"></p>',
		esc_html__( 'Connection', 'room-server' ),
		esc_html__( 'Test the connection', 'room-server' )
	);
}

/**
 * Answer the page's first question: can this site talk to the server?
 */
function room_server_answer_check() {
	room_server_check_request();
	set_transient( ROOM_SERVER_REFUSED_TRANSIENT, '', 2 * ROOM_SERVER_CHECK_SECONDS );
	$nonce    = wp_generate_password( 20, false );
	$sentence = room_server_is_configured() ? '' : __( 'Address, token secret and hook secret must be set first.', 'room-server' );
	$answer   = array();
	if ( '' === $sentence ) {
		$body     = wp_json_encode( array( 'nonce' => $nonce ) );
		$answer   = room_server_post_hook( 'core_site_check', $body, room_server_signed_headers( "wp_check_$nonce", $body ) );
		$sentence = room_server_fault_of_check( $answer );
	}
	if ( '' === $sentence ) {
		$sentence = room_server_fault_of_token();
	}
	if ( '' !== $sentence ) {
		wp_send_json_error( $sentence );
	}
	wp_send_json_success(
		array(
			'nonce'    => $nonce,
			/* translators: %s: version number of the server. */
			'sentence' => sprintf( __( 'This site reaches the room server (version %s), and both secrets are right.', 'room-server' ), (string) $answer['data']['version'] ) . room_server_advice( $answer ),
			'fault'    => empty( $answer['data']['receivers'] ) ? room_server_no_receiver() : '',
		)
	);
}

/**
 * Refuse everybody but who may change the settings.
 */
function room_server_check_request() {
	check_ajax_referer( 'room_server_check' );
	if ( ! current_user_can( 'manage_options' ) ) {
		wp_send_json_error( '', 403 );
	}
}

/**
 * What the answer to `core_site_check` says is wrong, in one sentence, or ''.
 *
 * @param array<string, mixed> $answer See room_server_answer().
 * @return string
 */
function room_server_fault_of_check( array $answer ) {
	$status = $answer['status'];
	if ( 0 === $status ) {
		/* translators: 1: address, 2: a technical reason. */
		return sprintf( __( 'The room server at %1$s does not answer: %2$s', 'room-server' ), room_server_url(), $answer['error'] );
	}
	if ( 401 === $status && '' !== $answer['code'] ) {
		$minutes = (int) round( abs( room_server_server_time() - time() ) / MINUTE_IN_SECONDS );
		/* translators: %d: minutes. */
		$clocks = $minutes ? ' ' . sprintf( _n( 'The clocks of the two differ by %d minute.', 'The clocks of the two differ by %d minutes.', $minutes, 'room-server' ), $minutes ) : '';
		return __( 'The server does not accept this site’s signature: the hook secret here is not ROOM_SERVER_HOOK_SECRET there.', 'room-server' ) . $clocks;
	}
	if ( 'hook_unknown' === $answer['code'] ) {
		return __( 'The room server is too old for this plugin: it does not know core_site_check.', 'room-server' );
	}
	if ( 200 !== $status || ! isset( $answer['data']['version'] ) ) {
		/* translators: 1: address, 2: status of an HTTP answer, 3: a sentence of the server's, or nothing. */
		return sprintf( __( 'What answers at %1$s does not behave as a room server: status %2$d. %3$s', 'room-server' ), room_server_url(), $status, $answer['error'] );
	}
	return '';
}

/**
 * What is wrong with the token secret, in one sentence, or ''.
 *
 * @return string
 */
function room_server_fault_of_token() {
	$bearer = room_server_bearer( 'monitor', room_server_order_subject( get_current_user_id() ), '*' );
	$answer = room_server_get( '/monitor/counts', $bearer );
	if ( 401 === $answer['status'] ) {
		return __( 'The server does not accept this site’s tokens: the token secret here is not ROOM_SERVER_TOKEN_SECRET there.', 'room-server' );
	}
	return '';
}

/**
 * What works, but should be looked at: sentences, or ''.
 *
 * @param array<string, mixed> $answer The answer to `core_site_check`.
 * @return string
 */
function room_server_advice( array $answer ) {
	$advice = '';
	$theirs = isset( $answer['data']['time'] ) ? strtotime( (string) $answer['data']['time'] ) : false;
	if ( false !== $theirs && abs( $theirs - time() ) > ROOM_SERVER_CLOCK_WARNING ) {
		$minutes = (int) round( abs( $theirs - time() ) / MINUTE_IN_SECONDS );
		/* translators: %d: minutes. */
		$advice .= ' ' . sprintf( _n( 'Its clock differs from the one here by %d minute; more than five would be too much.', 'Its clock differs from the one here by %d minutes; more than five would be too much.', $minutes, 'room-server' ), $minutes );
	}
	$policy = room_server_get( '/' )['policy'];
	if ( '' !== $policy && false === strpos( $policy, room_server_origin() ) && room_server_origin() !== room_server_url() ) {
		/* translators: %s: this site's origin. */
		$advice .= ' ' . sprintf( __( 'The server does not let this site show its rooms yet: add %s to its ROOM_SERVER_ALLOWED_ORIGINS.', 'room-server' ), room_server_origin() );
	}
	return $advice;
}

/**
 * The sentence for a server that tells nobody what happens.
 *
 * @return string
 */
function room_server_no_receiver() {
	/* translators: %s: an address of this site. */
	return sprintf( __( 'The server tells this site nothing yet: set its ROOM_SERVER_SITE_EVENTS_URL to %s.', 'room-server' ), rest_url( 'room-server/v1/events' ) );
}

/**
 * Answer the page's second question: has the server's event come?
 */
function room_server_answer_heard() {
	global $wpdb;
	room_server_check_request();
	$nonce = isset( $_POST['nonce'] ) ? sanitize_text_field( wp_unslash( $_POST['nonce'] ) ) : '';
	$table = room_server_table( 'events' );
	$heard = $wpdb->get_var( $wpdb->prepare( "SELECT 1 FROM $table WHERE event_id = %s", "core_site_checked:$nonce" ) );
	if ( $heard ) {
		wp_send_json_success( __( 'The server’s events reach this site.', 'room-server' ) );
	}
	$faults = array(
		'forged'   => __( 'The server’s events come, but their signature does not hold: the events secret here is not ROOM_SERVER_SITE_EVENTS_SECRET there (or, without one, ROOM_SERVER_HOOK_SECRET).', 'room-server' ),
		'stale'    => __( 'The server’s events come, but their time is more than five minutes off: mend the clock of this machine or of the server’s.', 'room-server' ),
		'unsigned' => __( 'Something asks this site’s address for events without a signature; a proxy may be removing the webhook- headers.', 'room-server' ),
	);
	$fault  = (string) get_transient( ROOM_SERVER_REFUSED_TRANSIENT );
	/* translators: 1: seconds, 2: an address of this site. */
	$silent = sprintf( __( 'No event has come within %1$d seconds. Does the server’s worker run, and does it reach %2$s? On the server, “room-server site status” says more.', 'room-server' ), ROOM_SERVER_CHECK_SECONDS, rest_url( 'room-server/v1/events' ) );
	wp_send_json_error( isset( $faults[ $fault ] ) ? $faults[ $fault ] : $silent );
}
