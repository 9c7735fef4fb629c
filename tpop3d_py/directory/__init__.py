"""The virtualemail database: engine, schema, statements, migrations and the rules."""
