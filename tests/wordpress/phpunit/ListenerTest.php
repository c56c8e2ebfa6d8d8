<?php
/**
 * Listeners of the server's events.
 */
class ListenerTest extends Room_Server_Test_Case {

	/** Those that throw are told; all run in the order of their priority, with as many arguments as they take. */
	public function test_one_that_throws_stops_nobody() {
		$ran = array();
		add_action( 'rs_test', static function () { throw new RuntimeException( 'first' ); }, 1 );
		add_action( 'rs_test', static function ( ...$given ) use ( &$ran ) { $ran[] = $given; }, 2, 2 );
		add_action( 'rs_test', static function ( ...$given ) use ( &$ran ) { $ran[] = $given; }, 3, 0 );
		add_action( 'rs_test', static function () { intdiv( 1, 0 ); }, 4 );

		$failures = Room_Server_Guarded_Listener::do_action( 'rs_test', array( 'a', 'b' ) );

		$this->assertSame( array( array( 'a', 'b' ), array() ), $ran );
		$this->assertMatchesRegularExpression( '/^RuntimeException at ListenerTest.php:\d+: first$/', $failures[0] );
		$this->assertStringStartsWith( 'DivisionByZeroError', $failures[1] );
		$this->assertSame( 1, did_action( 'rs_test' ) );
	}

	/** Nothing of the guard is left: a plugin finds its listener again, by its name too. */
	public function test_listeners_are_what_they_were() {
		add_action( 'rs_named', '__return_true' );
		Room_Server_Guarded_Listener::do_action( 'rs_named', array() );
		$this->assertSame( 10, has_action( 'rs_named', '__return_true' ) );
		$this->assertSame( '__return_true', $GLOBALS['wp_filter']['rs_named']->callbacks[10]['__return_true']['function'] );
	}

	/** An action that nobody listens to. */
	public function test_nobody_listens() {
		$this->assertSame( array(), Room_Server_Guarded_Listener::do_action( 'rs_nobody', array( 1 ) ) );
		$this->assertSame( 1, did_action( 'rs_nobody' ) );
	}

	/** A kind that the plugin does not know never becomes an action of WordPress'. */
	public function test_only_known_kinds_become_actions() {
		$event = array(
			'id'         => 'init:w',
			'type'       => 'init',
			'webinar_id' => 'w',
			'data'       => array(),
		);
		$this->assertSame( array( 'room_server_event' ), array_keys( room_server_actions_of( $event ) ) );
	}
}
