<?php
/**
 * Registration: a logged-in visitor presses a button, or the site's code says so; the lead comes onto the roster.
 *
 *     do_action( 'room_server_register_lead', 'launch', array( 'lead_id' => 42, 'name' => 'Anna' ) );
 *
 * @package Room_Server
 */

defined( 'ABSPATH' ) || exit;

/** The user meta with the webinars that a user has registered for: an array of webinar's id => Unix seconds. */
const ROOM_SERVER_REGISTERED_META = 'room_server_registered';

/** What the server may be told of a lead. */
const ROOM_SERVER_LEAD_FIELDS = array( 'lead_id', 'name', 'candidate_chat_id', 'partner_chat_id', 'partner_id', 'locale' );

add_action( 'room_server_register_lead', 'room_server_register_lead', 10, 2 );
add_action( 'admin_post_room_server_register', 'room_server_handle_registration' );
add_action( 'admin_post_nopriv_room_server_register', 'room_server_handle_registration' );

/**
 * Put a lead onto a webinar's roster. What is there already of the lead is brought up to date.
 *
 * @param string               $webinar_id The webinar.
 * @param array<string, mixed> $lead       `lead_id`, and perhaps others of ROOM_SERVER_LEAD_FIELDS.
 */
function room_server_register_lead( $webinar_id, $lead = array() ) {
	$lead = array_intersect_key( (array) $lead, array_flip( ROOM_SERVER_LEAD_FIELDS ) );
	$id   = isset( $lead['lead_id'] ) ? room_server_lawful_lead_id( $lead['lead_id'] ) : 0;
	if ( ! room_server_is_webinar_id( $webinar_id ) || ! $id ) {
		$more = room_server_refused( __( 'A registration needs the id of a webinar and a lead with a lead_id.', 'room-server' ) );
		room_server_put( 'core_roster_register', array(), $more );
		return;
	}
	$payload = array(
		'webinar_id' => $webinar_id,
		'leads'      => array( array( 'lead_id' => $id ) + $lead ),
	);
	room_server_put( 'core_roster_register', $payload );
}

/**
 * Register a user of the site.
 *
 * @param string $webinar_id The webinar.
 * @param int    $user_id    The user.
 * @return bool False for a user who is no lead.
 */
function room_server_register_user( $webinar_id, $user_id ) {
	$lead_id = room_server_lead_of( $user_id );
	$user    = get_userdata( $user_id );
	if ( ! $lead_id || ! $user ) {
		return false;
	}
	$lead = array(
		'lead_id' => $lead_id,
		'name'    => $user->display_name,
		'locale'  => 0 === strpos( get_user_locale( $user_id ), 'ru' ) ? 'ru' : 'en',
	);
	/**
	 * Filters what the server is told of a lead that registers, such as its partner.
	 *
	 * @param array  $lead       See ROOM_SERVER_LEAD_FIELDS.
	 * @param int    $user_id    The user.
	 * @param string $webinar_id The webinar.
	 */
	$lead       = (array) apply_filters( 'room_server_lead', $lead, $user_id, $webinar_id );
	$registered = room_server_registrations( $user_id );
	do_action( 'room_server_register_lead', $webinar_id, $lead );
	update_user_meta( $user_id, ROOM_SERVER_REGISTERED_META, array( $webinar_id => time() ) + $registered );
	return true;
}

/**
 * The webinars that a user has registered for here.
 *
 * @param int $user_id The user.
 * @return array<string, int> Webinar's id => Unix seconds.
 */
function room_server_registrations( $user_id ) {
	$stored = get_user_meta( $user_id, ROOM_SERVER_REGISTERED_META, true );
	return is_array( $stored ) ? $stored : array();
}

/**
 * Handle the button.
 */
function room_server_handle_registration() {
	$webinar_id = isset( $_POST['webinar'] ) ? sanitize_text_field( wp_unslash( $_POST['webinar'] ) ) : '';
	$back       = isset( $_POST['back'] ) ? esc_url_raw( wp_unslash( $_POST['back'] ) ) : home_url( '/' );
	if ( ! is_user_logged_in() ) {
		wp_safe_redirect( wp_login_url( $back ) );
		exit;
	}
	check_admin_referer( "room_server_register_$webinar_id" );
	if ( ! room_server_is_webinar_id( $webinar_id ) ) {
		wp_die( esc_html__( 'There is no such webinar.', 'room-server' ), '', array( 'response' => 404 ) );
	}
	room_server_register_user( $webinar_id, get_current_user_id() );
	wp_safe_redirect( $back );
	exit;
}

/**
 * The registration of a webinar, as a visitor sees it.
 *
 * @param string $webinar_id The webinar.
 * @return string HTML.
 */
function room_server_registration( $webinar_id ) {
	if ( ! is_user_logged_in() ) {
		return room_server_login_prompt( __( 'Log in to register', 'room-server' ) );
	}
	room_server_never_cache();
	$user_id = get_current_user_id();
	if ( ! room_server_lead_of( $user_id ) ) {
		return room_server_note( __( 'Your account is not linked to a participant yet. Please write to the organizers.', 'room-server' ) );
	}
	if ( isset( room_server_registrations( $user_id )[ $webinar_id ] ) ) {
		return room_server_note( __( 'You are registered.', 'room-server' ), 'registered' ) . room_server_telegram_offer( $webinar_id );
	}
	return sprintf(
		'<form class="room-server-register" method="post" action="%s">%s<input type="hidden" name="action" value="room_server_register">
		<input type="hidden" name="webinar" value="%s"><input type="hidden" name="back" value="%s">
		<button type="submit" class="wp-element-button">%s</button></form>',
		esc_url( admin_url( 'admin-post.php' ) ),
		wp_nonce_field( "room_server_register_$webinar_id", '_wpnonce', false, false ),
		esc_attr( $webinar_id ),
		esc_url( get_permalink() ),
		esc_html__( 'Register', 'room-server' )
	);
}
