CORE := -mcpu=cortex-m4 -mthumb -mfloat-abi=hard -mfpu=fpv4-sp-d16
UART0 := 0x40004000u
MACHINE := mps2-an386
