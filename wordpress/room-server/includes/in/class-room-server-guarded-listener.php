<?php
/**
 * A listener of an action, called so that what it throws stops nobody else.
 *
 * @package Room_Server
 */

defined( 'ABSPATH' ) || exit;

/**
 * Stands in the place of a listener while an event of the server's runs.
 */
final class Room_Server_Guarded_Listener {

	/**
	 * The listener itself.
	 *
	 * @var callable
	 */
	public $listener;

	/**
	 * What was thrown, in order: one list for all listeners of a run.
	 *
	 * @var ArrayObject
	 */
	private $failures;

	/**
	 * Guard a listener.
	 *
	 * @param callable    $listener The listener.
	 * @param ArrayObject $failures Where sentences about what was thrown go.
	 */
	public function __construct( $listener, ArrayObject $failures ) {
		$this->listener = $listener;
		$this->failures = $failures;
	}

	/**
	 * Call the listener.
	 *
	 * @param mixed ...$arguments The action's arguments.
	 * @return mixed
	 */
	public function __invoke( ...$arguments ) {
		try {
			return call_user_func_array( $this->listener, $arguments );
		} catch ( Throwable $error ) {
			$where            = basename( $error->getFile() ) . ':' . $error->getLine();
			$this->failures[] = get_class( $error ) . " at $where: " . $error->getMessage();
			return null;
		}
	}

	/**
	 * Do an action with every listener guarded. Listeners that are added or removed meanwhile stay so.
	 *
	 * @param string $action    The action.
	 * @param array  $arguments Its arguments.
	 * @return string[] A sentence for each listener that threw.
	 */
	public static function do_action( $action, array $arguments ) {
		$failures = new ArrayObject();
		self::each_listener(
			$action,
			static function ( $listener ) use ( $failures ) {
				return new self( $listener, $failures );
			}
		);
		try {
			do_action_ref_array( $action, $arguments );
		} catch ( Throwable $error ) {
			$failures[] = get_class( $error ) . ': ' . $error->getMessage();
		} finally {
			self::each_listener(
				$action,
				static function ( $listener ) {
					return $listener instanceof self ? $listener->listener : $listener;
				}
			);
		}
		return $failures->getArrayCopy();
	}

	/**
	 * Put something else in the place of each listener of an action.
	 *
	 * @param string   $action  The action.
	 * @param callable $replace Takes a listener and gives what stands in its place.
	 */
	private static function each_listener( $action, callable $replace ) {
		global $wp_filter;
		if ( ! isset( $wp_filter[ $action ] ) ) {
			return;
		}
		foreach ( $wp_filter[ $action ]->callbacks as $priority => $listeners ) {
			foreach ( $listeners as $id => $listener ) {
				$wp_filter[ $action ]->callbacks[ $priority ][ $id ]['function'] = $replace( $listener['function'] );
			}
		}
	}
}
