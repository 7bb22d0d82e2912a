"""What only a GPU gains from: functions that are launched as a whole, and an LSTM that has fixed shapes for them."""
