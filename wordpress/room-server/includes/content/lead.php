<?php
/**
 * Which lead a user of the site is.
 *
 * @package Room_Server
 */

defined( 'ABSPATH' ) || exit;

/** The user meta with the lead's id in the CRM; who may edit users sets it, never the user. */
const ROOM_SERVER_LEAD_META = 'room_server_lead_id';

/** The largest lead id that JSON keeps exact. */
const ROOM_SERVER_MAX_LEAD_ID = 9007199254740991;

add_action( 'init', 'room_server_register_lead_meta' );
add_action( 'show_user_profile', 'room_server_show_lead_field' );
add_action( 'edit_user_profile', 'room_server_show_lead_field' );
add_action( 'personal_options_update', 'room_server_save_lead_field' );
add_action( 'edit_user_profile_update', 'room_server_save_lead_field' );

/**
 * Register the meta: not over REST, and not by the user.
 */
function room_server_register_lead_meta() {
	register_meta(
		'user',
		ROOM_SERVER_LEAD_META,
		array(
			'type'              => 'integer',
			'single'            => true,
			'show_in_rest'      => false,
			'sanitize_callback' => 'room_server_lawful_lead_id',
			'auth_callback'     => static function () {
				return current_user_can( 'manage_options' );
			},
		)
	);
}

/**
 * A lead's id, or 0 for what is none.
 *
 * @param mixed $value A positive whole number, or a text of its digits.
 * @return int
 */
function room_server_lawful_lead_id( $value ) {
	if ( ! is_scalar( $value ) || ! preg_match( '/\A[1-9][0-9]{0,15}\z/', (string) $value ) ) {
		return 0;
	}
	return (int) $value <= ROOM_SERVER_MAX_LEAD_ID ? (int) $value : 0;
}

/**
 * The lead that a user is.
 *
 * @param int $user_id A user; 0 for nobody.
 * @return int The lead's id, or 0 for none.
 */
function room_server_lead_of( $user_id ) {
	if ( ! $user_id ) {
		return 0;
	}
	$lead_id = room_server_lawful_lead_id( get_user_meta( $user_id, ROOM_SERVER_LEAD_META, true ) );
	if ( ! $lead_id && room_server_setting( 'user_is_lead' ) ) {
		$lead_id = (int) $user_id;
	}
	/**
	 * Filters which lead a user is, for a site whose CRM knows it.
	 *
	 * @param int $lead_id The lead's id, or 0 for none.
	 * @param int $user_id The user.
	 */
	return room_server_lawful_lead_id( apply_filters( 'room_server_lead_id', $lead_id, (int) $user_id ) );
}

/**
 * The users who are a lead by their meta, or by their own id.
 *
 * @param int $lead_id The lead.
 * @return int[]
 */
function room_server_users_of( $lead_id ) {
	$users = get_users(
		array(
			'meta_key'   => ROOM_SERVER_LEAD_META,
			'meta_value' => $lead_id,
			'fields'     => 'ID',
		)
	);
	$users = array_map( 'intval', $users );
	if ( get_userdata( $lead_id ) && room_server_lead_of( $lead_id ) === $lead_id ) {
		$users[] = $lead_id;
	}
	return array_values( array_unique( $users ) );
}

/**
 * Show the field on a user's profile, to who manages the site.
 *
 * @param WP_User $user The user.
 */
function room_server_show_lead_field( $user ) {
	if ( ! current_user_can( 'manage_options' ) ) {
		return;
	}
	wp_nonce_field( 'room_server_lead', 'room_server_lead_nonce' );
	printf(
		'<h2>%1$s</h2><table class="form-table"><tr><th><label for="%2$s">%3$s</label></th>
		<td><input type="text" inputmode="numeric" pattern="[1-9][0-9]*" name="%2$s" id="%2$s" value="%4$s">
		<p class="description">%5$s</p></td></tr></table>',
		esc_html__( 'Webinars', 'room-server' ),
		esc_attr( ROOM_SERVER_LEAD_META ),
		esc_html__( 'Lead id in the CRM', 'room-server' ),
		esc_attr( (string) get_user_meta( $user->ID, ROOM_SERVER_LEAD_META, true ) ),
		esc_html__( 'Empty: as the settings of Room Server say.', 'room-server' )
	);
}

/**
 * Store the field.
 *
 * @param int $user_id The user.
 */
function room_server_save_lead_field( $user_id ) {
	$nonce = isset( $_POST['room_server_lead_nonce'] ) ? sanitize_key( $_POST['room_server_lead_nonce'] ) : '';
	if ( ! wp_verify_nonce( $nonce, 'room_server_lead' ) || ! current_user_can( 'manage_options' ) ) {
		return;
	}
	$given   = isset( $_POST[ ROOM_SERVER_LEAD_META ] ) ? sanitize_text_field( wp_unslash( $_POST[ ROOM_SERVER_LEAD_META ] ) ) : '';
	$lead_id = room_server_lawful_lead_id( $given );
	if ( $lead_id ) {
		update_user_meta( $user_id, ROOM_SERVER_LEAD_META, $lead_id );
	} elseif ( '' === $given ) {
		delete_user_meta( $user_id, ROOM_SERVER_LEAD_META );
	}
}
