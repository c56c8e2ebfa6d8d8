"""Events to the site: signed, in order, until they are taken."""
