/* The blocks in the editor: what each shows is made on the server, so here stands a placeholder. */
( function ( blocks, editor, components, element ) {
	'use strict';

	var create = element.createElement;

	function edit( name ) {
		return function Edit( props ) {
			var type = blocks.getBlockType( name );
			var field = type.attributes.webinar && create( components.TextControl, {
				label: roomServerWords.webinar,
				value: props.attributes.webinar || '',
				onChange: function ( webinar ) {
					props.setAttributes( { webinar: webinar.trim() || undefined } );
				},
			} );
			var placeholder = create(
				components.Placeholder,
				{ icon: 'video-alt2', label: type.title, instructions: type.description },
				field
			);
			return create( 'div', editor.useBlockProps(), placeholder );
		};
	}

	[ 'room-server/room', 'room-server/register', 'room-server/schedule' ].forEach( function ( name ) {
		blocks.registerBlockType( name, {
			edit: edit( name ),
			save: function () {
				return null;
			},
		} );
	} );
} )( window.wp.blocks, window.wp.blockEditor, window.wp.components, window.wp.element );
