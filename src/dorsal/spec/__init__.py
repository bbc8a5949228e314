"""What a network is: frozen data, its text and JSON, its layers and costs. No torch."""
