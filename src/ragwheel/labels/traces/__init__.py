"""What the store holds, as tables of the relational engine: reading, exposure, texts and names."""
