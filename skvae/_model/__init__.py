"""The variational autoencoder of a table: its equations, its schema, its closed-form start."""
