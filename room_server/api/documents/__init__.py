"""The documents of the two interfaces, OpenAPI 3.1 and AsyncAPI 3, made from the types and tables of the code."""
